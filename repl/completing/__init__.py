"""What can come next in a line, and what the command at the cursor takes. Pure, except for answers.py and files.py.

    completion          the line: whose command it is, and which part of it the cursor is in
    hmp_words           HMP's arguments by position, including options
    hmp_arguments       what can be at which position of which HMP command
    key_values          `driver,key=value,...` of device_add, object_add, netdev_add, chardev-add, drive_add
    qmp_arguments       `qmp COMMAND key=value ...`, `qmp COMMAND {json}`, and QMP's own form: `{"execute": ...}`
    json_place          where the cursor is in unfinished JSON
    schema              QEMU's schema as members of types, with unions resolved by their tag
    qmp_names           what an argument of a QMP command can name
    vm_names            names of what the VM has, by what takes them: drives, nodes, network back ends, buses, objects
    names               what all suggestions share: matching prefixes, splitting and quoting words
    drivers             which devices QEMU has
    questions, answers  what QEMU is asked while somebody types, and the answers as they arrive
    files               the files that QEMU would see
    hints               what the toolbar says about the command at the cursor

Completion asks for names (`Look`) and gets those that are known at that moment, perhaps none. The question goes to QEMU while
the person types on, and the menu opens when the answer is there. So nothing here may wait, and a question must change nothing,
must be safe for any version of QEMU, and must have an answer of bounded size.

One question is never asked: qom-list-types, or its equivalents in HMP (`device_add help`, `info qdm`). It makes QEMU load all
modules on its disk. If these belong to another build, as after an upgrade under a running QEMU, the second one that cannot be
loaded aborts QEMU (`module_load_dso: Assertion`, seen on 7.2, 10.0 and 11.1). Nor is device-list-properties asked about a type
that is in a module: on 7.2, asking about virtio-vga-gl aborts QEMU even if its modules fit. So drivers.py lists the devices.
"""
