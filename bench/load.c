/* The client of the benchmark, and what load.py is in Python. It prints one line for each sample: nanoseconds.

     load requests PATH SAMPLES BATCH COMMAND    BATCH commands in one write, until all are answered
     load clients  PATH SAMPLES CLIENTS COMMAND  one command from each client at once, until the last answer
     load flood    PATH SAMPLES CLIENTS EVENTS   until each client has had all events
     load pieces   PATH SAMPLES BYTES PIECE      a command of BYTES in writes of PIECE bytes, until it is answered */

#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define READ_BYTES (256 * 1024)
#define MAX_CLIENTS 32

static char input[READ_BYTES];

static void fail(const char *what)
{
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static long long now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000ll + now.tv_nsec;
}

static void send_all(int fd, const char *data, size_t length)
{
    while (length > 0) {
        ssize_t sent = write(fd, data, length);
        if (sent <= 0)
            fail("write");
        data += sent;
        length -= (size_t)sent;
    }
}

/* Read once; give how many lines ended in it. */
static long read_lines(int fd)
{
    ssize_t got = read(fd, input, sizeof input);
    if (got <= 0)
        fail("read");
    long lines = 0;
    for (char *at = input; (at = memchr(at, '\n', (size_t)(input + got - at))) != NULL; at++)
        lines++;
    return lines;
}

static void await_lines(int fd, long lines)
{
    while (lines > 0)
        lines -= read_lines(fd);
}

static int negotiated(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    strncpy(address.sun_path, path, sizeof address.sun_path - 1);
    if (connect(fd, (struct sockaddr *)&address, sizeof address))
        fail("connect");
    await_lines(fd, 1);
    const char *command = "{\"execute\": \"qmp_capabilities\"}\n";
    send_all(fd, command, strlen(command));
    await_lines(fd, 1);
    return fd;
}

static void requests(const char *path, long samples, long batch, const char *command)
{
    int fd = negotiated(path);
    size_t one = strlen(command) + 1;
    char *lines = malloc(one * (size_t)batch);
    for (long i = 0; i < batch; i++) {
        memcpy(lines + one * (size_t)i, command, one - 1);
        lines[one * (size_t)(i + 1) - 1] = '\n';
    }
    for (long i = -samples / 10 - 1; i < samples; i++) {
        long long begun = now_ns();
        send_all(fd, lines, one * (size_t)batch);
        await_lines(fd, batch);
        if (i >= 0)
            printf("%lld\n", now_ns() - begun);
    }
}

/* Wait until each of the clients has had its lines, and the first some more. */
static void await_all(const int *fds, long clients, long lines, long more)
{
    struct pollfd polled[MAX_CLIENTS];
    long left[MAX_CLIENTS], waiting = clients;
    for (long i = 0; i < clients; i++) {
        polled[i] = (struct pollfd){.fd = fds[i], .events = POLLIN};
        left[i] = lines + (i == 0 ? more : 0);
    }
    while (waiting > 0) {
        if (poll(polled, (nfds_t)clients, -1) < 0)
            fail("poll");
        for (long i = 0; i < clients; i++) {
            if (!polled[i].revents)
                continue;
            left[i] -= read_lines(fds[i]);
            if (left[i] <= 0) {
                polled[i].fd = -1;
                polled[i].revents = 0;
                waiting--;
            }
        }
    }
}

static void open_clients(const char *path, long clients, int *fds)
{
    for (long i = 0; i < clients; i++)
        fds[i] = negotiated(path);
}

static void clients(const char *path, long samples, long count, const char *command)
{
    int fds[MAX_CLIENTS];
    char line[512];
    size_t length = (size_t)snprintf(line, sizeof line, "%s\n", command);
    open_clients(path, count, fds);
    for (long i = -samples / 10 - 1; i < samples; i++) {
        long long begun = now_ns();
        for (long k = 0; k < count; k++)
            send_all(fds[k], line, length);
        await_all(fds, count, 1, 0);
        if (i >= 0)
            printf("%lld\n", now_ns() - begun);
    }
}

static void flood(const char *path, long samples, long count, long events)
{
    int fds[MAX_CLIENTS];
    char line[128];
    size_t length = (size_t)sprintf(line, "{\"execute\": \"x-flood\", \"arguments\": {\"count\": %ld}}\n", events);
    open_clients(path, count, fds);
    for (long i = 0; i < samples; i++) {
        long long begun = now_ns();
        send_all(fds[0], line, length);
        await_all(fds, count, events, 1); /* the first client gets the reply too */
        printf("%lld\n", now_ns() - begun);
    }
}

static void pieces(const char *path, long samples, long bytes, long piece)
{
    const char *head = "{\"execute\": \"x-command\", \"arguments\": {\"text\": \"", *tail = "\"}}\n";
    int fd = negotiated(path);
    char *command = malloc((size_t)bytes);
    memset(command, 'a', (size_t)bytes);
    memcpy(command, head, strlen(head));
    memcpy(command + bytes - strlen(tail), tail, strlen(tail));
    for (long i = 0; i < samples; i++) {
        long long begun = now_ns();
        for (long at = 0; at < bytes; at += piece)
            send_all(fd, command + at, (size_t)(bytes - at < piece ? bytes - at : piece));
        await_lines(fd, 1);
        printf("%lld\n", now_ns() - begun);
    }
}

int main(int argc, char **argv)
{
    if (argc != 6)
        return 2;
    const char *mode = argv[1], *path = argv[2];
    long samples = atol(argv[3]), number = atol(argv[4]);
    if (!strcmp(mode, "requests"))
        requests(path, samples, number, argv[5]);
    else if (!strcmp(mode, "clients") && number <= MAX_CLIENTS)
        clients(path, samples, number, argv[5]);
    else if (!strcmp(mode, "flood") && number <= MAX_CLIENTS)
        flood(path, samples, number, atol(argv[5]));
    else if (!strcmp(mode, "pieces"))
        pieces(path, samples, number, atol(argv[5]));
    else
        return 2;
    return 0;
}
