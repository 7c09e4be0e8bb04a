"""What can come next in a line, and what the command at the cursor takes. Pure, but for answers.py and files.py.

    completion          the line: whose command it is, and which part of it the cursor stands in
    hmp_words           HMP's arguments by their place, options among them
    hmp_arguments       what stands at which place of which HMP command
    key_values          `driver,key=value,...` of device_add, object_add, netdev_add, chardev-add, drive_add
    qmp_arguments       `qmp COMMAND key=value ...` and `qmp COMMAND {json}`; json_place finds the cursor in unfinished JSON
    schema              QEMU's schema as members of types, unions by their tag
    names               what answers have in common: prefixes, words in quotes, what a property can be
    drivers             which devices QEMU has
    questions, answers  what is asked for while somebody types, and the answers as they come
    files               the files that QEMU would see
    hints               what the toolbar says of the command at the cursor

Completion asks for names (`Look`) and gets those that are known at that moment, perhaps none. The question goes to QEMU beside
the typing, and the menu opens when the answer is there. So nothing here may wait, and each question has to be one that changes
nothing, that a QEMU of any version survives, and whose answer is of bounded size.

One question is never asked: qom-list-types, and its like in HMP (`device_add help`, `info qdm`). It has QEMU load all modules
on its disk. Where these are of another build, as after an upgrade of a QEMU that goes on running, the second one that cannot be
loaded aborts it (`module_load_dso: Assertion`, seen on 7.2, 10.0 and 11.1). Nor is device-list-properties asked of a type that
stands in a module: on 7.2 that of virtio-vga-gl aborts a QEMU even if its modules fit. So drivers.py knows the devices.
"""
