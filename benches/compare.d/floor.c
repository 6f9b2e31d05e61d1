// The floor of benches/compare: the least that any server on epoll has to do. It receives, counts the ends of request heads,
// and sends the same reply for each: from memory up to 64 KiB, larger ones by sendfile. It does not parse, opens one file
// and has no error replies. It misses a head that is split over two reads; wrk and oha send each head in one piece.
// Usage: floor PORT FILE [close]: with `close` it closes the connection after each reply
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { EVENTS = 1024, IN_MEMORY = 64 << 10, BATCH = 64 };

// What is left to send on a connection: `replies` replies, minus the first `sent` bytes of the first one.
struct owed {
    unsigned replies;
    size_t sent;
};

static struct owed *table;
static char *reply;
static size_t kept, length; // bytes of the reply in memory, and in total
static int file, closes;

static ssize_t send_some(int fd, const struct owed *owed) {
    if (owed->sent >= kept) {
        off_t offset = owed->sent - kept;
        return sendfile(fd, file, &offset, length - owed->sent);
    }
    if (kept < length)
        return send(fd, reply + owed->sent, kept - owed->sent, MSG_NOSIGNAL | MSG_MORE);
    if (owed->replies == 1)
        return send(fd, reply + owed->sent, kept - owed->sent, MSG_NOSIGNAL);
    struct iovec parts[BATCH];
    int count = owed->replies < BATCH ? owed->replies : BATCH;
    for (int i = 0; i < count; i++)
        parts[i] = (struct iovec){reply, kept};
    parts[0] = (struct iovec){reply + owed->sent, kept - owed->sent};
    return writev(fd, parts, count);
}

// Sends until nothing is owed or the socket is full; returns whether the connection stays open.
static int send_owed(int fd, struct owed *owed) {
    while (owed->replies) {
        ssize_t sent = send_some(fd, owed);
        if (sent <= 0)
            return sent < 0 && errno == EAGAIN;
        owed->sent += sent;
        owed->replies -= owed->sent / length;
        owed->sent %= length;
    }
    return !closes;
}

static int receive(int fd, struct owed *owed) {
    static char buffer[64 << 10];
    ssize_t got = recv(fd, buffer, sizeof buffer, 0);
    if (got <= 0)
        return got < 0 && errno == EAGAIN;
    const char *end = buffer + got;
    for (const char *at = buffer; (at = memmem(at, end - at, "\r\n\r\n", 4)); at += 4)
        owed->replies++;
    return owed->replies ? send_owed(fd, owed) : 1;
}

static void load(const char *path) {
    struct stat stat;
    if ((file = open(path, O_RDONLY)) < 0 || fstat(file, &stat))
        err(1, "%s", path);
    size_t body = stat.st_size;
    reply = malloc(1024 + body);
    kept = sprintf(reply,
                   "HTTP/1.1 200 OK\r\nServer: floor\r\nDate: Sat, 21 Nov 2026 00:00:00 GMT\r\n"
                   "Content-Type: text/html; charset=utf-8\r\nContent-Length: %zu\r\nAccept-Ranges: bytes\r\n"
                   "Last-Modified: Sat, 21 Nov 2026 00:00:00 GMT\r\nETag: \"0123456789abcdef\"\r\n%s\r\n",
                   body, closes ? "Connection: close\r\n" : "");
    length = kept + body;
    if (body <= IN_MEMORY) {
        if (read(file, reply + kept, body) != (ssize_t)body)
            err(1, "%s", path);
        kept = length;
    }
}

int main(int count, char **arguments) {
    if (count < 3)
        errx(2, "usage: floor PORT FILE [close]");
    closes = count > 3;
    load(arguments[2]);
    signal(SIGPIPE, SIG_IGN);
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    table = calloc(limit.rlim_cur, sizeof *table);

    int one = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in here = {AF_INET, htons(atoi(arguments[1])), {htonl(INADDR_LOOPBACK)}, {0}};
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(listener, (struct sockaddr *)&here, sizeof here) || listen(listener, 4096))
        err(1, "port %s", arguments[1]);
    int poll = epoll_create1(0);
    struct epoll_event events[EVENTS], wanted = {EPOLLIN | EPOLLET, {.fd = listener}};
    epoll_ctl(poll, EPOLL_CTL_ADD, listener, &wanted);
    for (;;) {
        int ready = epoll_wait(poll, events, EVENTS, -1);
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            if (fd != listener) {
                struct owed *owed = table + fd;
                int stays = owed->replies ? send_owed(fd, owed) : receive(fd, owed);
                if (!stays)
                    close(fd);
                continue;
            }
            while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                table[fd] = (struct owed){0};
                wanted = (struct epoll_event){EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, {.fd = fd}};
                epoll_ctl(poll, EPOLL_CTL_ADD, fd, &wanted);
            }
        }
    }
}
