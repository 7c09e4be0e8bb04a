/* An instant QMP server for the benchmark, and what stub.py is in Python: stub PATH listens there until it is killed.

   One JSON object is one command, with or without a line end. Each is answered at once and in a write of its own, as
   QEMU 7.2 does:
     query-qmp-schema   200 KB
     query-commands     a list as long as QEMU's
     x-flood            then argument COUNT events, one write each, to every negotiated connection
     x-received         how many bytes came since the last reply, and their FNV-1a hash
     anything else      what query-status gives */

#define _GNU_SOURCE
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#define MAX_CONNECTIONS 2048
#define SCHEMA_BYTES 207000
#define COMMANDS 260
#define HEAD_BYTES 256
#define TAIL_BYTES 96

static const char GREETING[] =
    "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 2, \"minor\": 2, \"major\": 7}, \"package\": \"stub\"}, "
    "\"capabilities\": [\"oob\"]}}\r\n";
static const char STATUS[] = "{\"return\": {\"status\": \"running\", \"singlestep\": false, \"running\": true}";
static const char EVENT[] =
    "{\"timestamp\": {\"seconds\": 1700000000, \"microseconds\": 123456}, \"event\": \"BALLOON_CHANGE\", "
    "\"data\": {\"actual\": 33554432}}\r\n";

struct connection {
    int fd, is_negotiated;
    char *held;
    size_t length, capacity;
    size_t seen; /* of what is held, by find_end() */
    int depth, is_in_string;
};

static struct connection connections[MAX_CONNECTIONS];
static struct pollfd polled[MAX_CONNECTIONS + 1];
static int count;
static char schema[SCHEMA_BYTES + 512], commands[COMMANDS * 40 + 64];

static void send_all(int fd, const char *data, size_t length)
{
    while (length > 0) {
        ssize_t sent = send(fd, data, length, MSG_NOSIGNAL);
        if (sent <= 0)
            return;
        data += sent;
        length -= (size_t)sent;
    }
}

static int has(const char *line, size_t length, const char *word)
{
    return memmem(line, length < HEAD_BYTES ? length : HEAD_BYTES, word, strlen(word)) != NULL;
}

/* Close the reply as QEMU does: the client's id comes last. Ids are strings without escapes here. */
static size_t end_reply(char *out, const char *line, size_t length)
{
    const char *tail = length > TAIL_BYTES ? line + length - TAIL_BYTES : line;
    const char *id = memmem(tail, (size_t)(line + length - tail), "\"id\":", 5);
    const char *open = id ? memchr(id + 5, '"', (size_t)(line + length - id - 5)) : NULL;
    const char *close = open ? memchr(open + 1, '"', (size_t)(line + length - open - 1)) : NULL;
    if (close == NULL)
        return (size_t)sprintf(out, "}\r\n");
    return (size_t)sprintf(out, ", \"id\": %.*s}\r\n", (int)(close - open + 1), open);
}

static void reply(int fd, const char *body, size_t body_length, const char *line, size_t length)
{
    char whole[512];
    if (body_length < sizeof whole - TAIL_BYTES - 16) {
        memcpy(whole, body, body_length);
        send_all(fd, whole, body_length + end_reply(whole + body_length, line, length));
        return;
    }
    char *copy = malloc(body_length + TAIL_BYTES + 16);
    if (copy == NULL)
        exit(1);
    memcpy(copy, body, body_length);
    send_all(fd, copy, body_length + end_reply(copy + body_length, line, length));
    free(copy);
}

static void flood(const char *line, size_t length)
{
    const char *argument = memmem(line, length, "\"count\":", 8);
    for (long left = argument ? atol(argument + 8) : 0; left > 0; left--)
        for (int i = 0; i < count; i++)
            if (connections[i].is_negotiated)
                send_all(connections[i].fd, EVENT, sizeof EVENT - 1);
}

static void reply_received(int fd, const char *line, size_t length)
{
    char body[128];
    uint64_t hash = 14695981039346656037u;
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (unsigned char)line[i]) * 1099511628211u;
    int size = sprintf(body, "{\"return\": {\"bytes\": %zu, \"hash\": \"%016llx\"}", length, (unsigned long long)hash);
    reply(fd, body, (size_t)size, line, length);
}

static void answer(struct connection *from, const char *line, size_t length)
{
    if (has(line, length, "query-qmp-schema")) {
        reply(from->fd, schema, strlen(schema), line, length);
    } else if (has(line, length, "query-commands")) {
        reply(from->fd, commands, strlen(commands), line, length);
    } else if (has(line, length, "query-jobs")) {
        reply(from->fd, "{\"return\": []", 13, line, length);
    } else if (has(line, length, "x-received")) {
        reply_received(from->fd, line, length);
    } else if (has(line, length, "qmp_capabilities") || has(line, length, "query-name")) {
        from->is_negotiated = 1;
        reply(from->fd, "{\"return\": {}", 13, line, length);
    } else {
        reply(from->fd, STATUS, sizeof STATUS - 1, line, length);
        if (has(line, length, "x-flood"))
            flood(line, length);
    }
}

/* Give where the object at hand ends, with the blanks behind it, or 0. Strings hold no escaped quote here. */
static size_t find_end(struct connection *from)
{
    while (from->seen < from->length) {
        char *at = from->held + from->seen;
        if (from->is_in_string) {
            at = memchr(at, '"', from->length - from->seen);
            if (at == NULL) {
                from->seen = from->length;
                return 0;
            }
        }
        from->seen = (size_t)(at + 1 - from->held);
        if (*at == '"')
            from->is_in_string = !from->is_in_string;
        else if (*at == '{')
            from->depth++;
        else if (*at == '}' && --from->depth == 0) {
            while (from->seen < from->length && strchr(" \t\r\n", from->held[from->seen]))
                from->seen++;
            return from->seen;
        }
    }
    return 0;
}

/* Returns 0 when the client has gone. */
static int receive(struct connection *from)
{
    if (from->capacity - from->length < 65536) {
        from->capacity = from->capacity * 2 + 65536;
        from->held = realloc(from->held, from->capacity);
        if (from->held == NULL)
            exit(1);
    }
    ssize_t got = read(from->fd, from->held + from->length, from->capacity - from->length);
    if (got <= 0)
        return 0;
    size_t begin = 0, end;
    from->length += (size_t)got;
    while ((end = find_end(from)) != 0) {
        answer(from, from->held + begin, end - begin);
        begin = end;
    }
    from->length -= begin;
    from->seen -= begin;
    memmove(from->held, from->held + begin, from->length);
    return 1;
}

static void drop(int i)
{
    close(connections[i].fd);
    free(connections[i].held);
    connections[i] = connections[--count];
    polled[i + 1] = polled[count + 1];
}

static void welcome(int listening)
{
    int fd = accept(listening, NULL, NULL);
    if (fd < 0 || count == MAX_CONNECTIONS) {
        close(fd);
        return;
    }
    connections[count] = (struct connection){.fd = fd};
    polled[++count] = (struct pollfd){.fd = fd, .events = POLLIN};
    send_all(fd, GREETING, sizeof GREETING - 1);
}

static void spell_replies(void)
{
    char *at = schema + sprintf(schema, "{\"return\": [");
    for (int i = 0; at - schema < SCHEMA_BYTES; i++)
        at += sprintf(at, "%s{\"name\": \"%d\", \"members\": [{\"name\": \"node\", \"default\": null, \"type\": \"str\"}], "
                      "\"meta-type\": \"object\"}", i ? ", " : "", i);
    sprintf(at, "]");
    at = commands + sprintf(commands, "{\"return\": [");
    for (int i = 0; i < COMMANDS; i++)
        at += sprintf(at, "%s{\"name\": \"x-command-%d\"}", i ? ", " : "", i);
    sprintf(at, "]");
}

int main(int argc, char **argv)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int listening = socket(AF_UNIX, SOCK_STREAM, 0);
    if (argc != 2)
        return 2;
    spell_replies();
    strncpy(address.sun_path, argv[1], sizeof address.sun_path - 1);
    if (bind(listening, (struct sockaddr *)&address, sizeof address) || listen(listening, MAX_CONNECTIONS))
        return 1;
    polled[0] = (struct pollfd){.fd = listening, .events = POLLIN};
    while (poll(polled, (nfds_t)count + 1, -1) > 0) {
        for (int i = count - 1; i >= 0; i--)
            if (polled[i + 1].revents && !receive(&connections[i]))
                drop(i);
        if (polled[0].revents)
            welcome(listening);
    }
    return 1;
}
