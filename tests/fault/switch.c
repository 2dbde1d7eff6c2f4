/*
 * SPDX-License-Identifier: Apache-2.0
 *
 * A network between regions, in userspace: the fault suite's only way from one namespace to
 * another.
 *
 *     holdfast-switch SOCKET NAME[@SECONDS]…
 *
 * For every NAME, a port, it makes a network namespace with a TAP device hf0 in it (address
 * 02:48:46:00:00:N, N counting from 1) and a time namespace whose monotonic clocks are SECONDS
 * ahead (the one that counts suspended time twice as far). It says "port NAME /proc/PID/fd/FD
 * /proc/PID/fd/FD" (network, time) on standard output, and at last "ready". Namespaces and devices
 * belong to this process and go when it and those inside have ended.
 *
 * Every ordered pair of ports is a path with a delay, a loss, a rate and a valve; a rule is a path
 * of its own for what matches it (ports of the switch, TCP ports), looked at before the pairs.
 * Frames of one path keep their order. Queues are bounded; what does not fit is lost and counted.
 * Only unicast to a device of the switch is carried: neighbours are written down by who sets it up.
 *
 * Commands, one a packet (SOCK_SEQPACKET), each answered by "ok", "error TEXT" or what was asked:
 *     link FROM TO SETTING…            FROM and TO are names of ports, or "*"
 *     rule ID FROM TO SPORT DPORT SETTING…    a TCP port of 0 is any
 *     unrule ID                        ID is 0 to 63, or "*"
 *     show                             what every path did
 * SETTING is delay_us N, loss_ppm N, rate N (bytes a second, 0 is unlimited) or drop 0|1.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

enum {
    MAX_PORTS = 8,
    MAX_RULES = 64,
    MAX_CLIENTS = 4,
    RING = 2048,         /* frames of one path */
    MAX_BYTES = 4 << 20, /* bytes of one path */
    MAX_FRAME = 9216,    /* above the MTU of 9000 that the ports get */
    BURST = 64,          /* frames of one port before the others get a turn */
    MIN_FRAME = 14,      /* an Ethernet header */
    COMMAND_BYTES = 512,
    ANSWER_BYTES = 32 << 10,
};

struct frame {
    int64_t due_us;
    uint8_t *bytes;
    uint32_t size;
    int to;
};

/* What happens to the frames that it is chosen for. */
struct path {
    bool used, drop;
    int from, to; /* -1: any */
    uint32_t sport, dport;
    uint64_t delay_us, loss_ppm, rate;
    struct frame ring[RING];
    uint32_t first, count;
    size_t bytes;
    int64_t free_us, last_due_us;
    uint64_t carried, dropped, lost, overflowed;
};

static struct {
    int count;
    const char *name[MAX_PORTS];
    int tap[MAX_PORTS];
} ports;

static struct path rules[MAX_RULES];
static struct path links[MAX_PORTS * MAX_PORTS];
static int clients[MAX_CLIENTS] = {-1, -1, -1, -1};
static uint64_t random_state = 0x9e3779b97f4a7c15U;

static void die(const char *what)
{
    fprintf(stderr, "holdfast-switch: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static uint64_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

/* -- frames ------------------------------------------------------------------------------------ */

static void path_clear(struct path *path)
{
    for (; path->count > 0; path->count--) {
        free(path->ring[path->first].bytes);
        path->first = (path->first + 1) % RING;
        path->dropped++;
    }
    path->bytes = 0;
    path->free_us = path->last_due_us = 0;
}

static void path_submit(struct path *path, int to, const uint8_t *bytes, uint32_t size)
{
    if (path->drop) {
        path->dropped++;
        return;
    }
    if (path->loss_ppm > 0 && next_random() % 1000000 < path->loss_ppm) {
        path->lost++;
        return;
    }
    uint8_t *copy = NULL;
    if (path->count == RING || path->bytes + size > MAX_BYTES || (copy = malloc(size)) == NULL) {
        path->overflowed++;
        return;
    }
    memcpy(copy, bytes, size);
    int64_t now = now_us();
    int64_t sent = path->free_us > now ? path->free_us : now;
    if (path->rate > 0) {
        sent += (int64_t)((uint64_t)size * 1000000 / path->rate);
    }
    path->free_us = sent;
    int64_t due = sent + (int64_t)path->delay_us;
    path->last_due_us = due > path->last_due_us ? due : path->last_due_us;
    path->ring[(path->first + path->count) % RING] =
        (struct frame){.due_us = path->last_due_us, .bytes = copy, .size = size, .to = to};
    path->count++;
    path->bytes += size;
}

/* Delivers what is due; the instant of the next frame, or INT64_MAX. */
static int64_t path_deliver(struct path *path, int64_t now)
{
    while (path->count > 0 && path->ring[path->first].due_us <= now) {
        struct frame frame = path->ring[path->first];
        path->first = (path->first + 1) % RING;
        path->count--;
        path->bytes -= frame.size;
        if (write(ports.tap[frame.to], frame.bytes, frame.size) == (ssize_t)frame.size) {
            path->carried++;
        } else {
            path->overflowed++;
        }
        free(frame.bytes);
    }
    return path->count > 0 ? path->ring[path->first].due_us : INT64_MAX;
}

/* TCP ports of an IPv4 frame that is no later fragment; zero when there are none. */
static void tcp_ports(const uint8_t *b, uint32_t size, uint32_t *sport, uint32_t *dport)
{
    *sport = *dport = 0;
    if (size < 34 || b[12] != 0x08 || b[13] != 0x00 || b[23] != 6) {
        return;
    }
    uint32_t at = 14U + (b[14] & 15U) * 4U;
    if (size < at + 4 || (b[20] & 0x1f) != 0 || b[21] != 0) {
        return;
    }
    *sport = (uint32_t)b[at] << 8 | b[at + 1];
    *dport = (uint32_t)b[at + 2] << 8 | b[at + 3];
}

static void forward(int from, const uint8_t *bytes, uint32_t size)
{
    static const uint8_t ours[5] = {0x02, 0x48, 0x46, 0x00, 0x00};
    if (size < MIN_FRAME || memcmp(bytes, ours, sizeof ours) != 0) {
        return;
    }
    int to = bytes[5] - 1;
    if (to < 0 || to >= ports.count || to == from) {
        return;
    }
    uint32_t sport, dport;
    tcp_ports(bytes, size, &sport, &dport);
    for (int i = 0; i < MAX_RULES; i++) {
        struct path *r = &rules[i];
        if (r->used && (r->from < 0 || r->from == from) && (r->to < 0 || r->to == to) &&
            (r->sport == 0 || r->sport == sport) && (r->dport == 0 || r->dport == dport)) {
            path_submit(r, to, bytes, size);
            return;
        }
    }
    path_submit(&links[from * MAX_PORTS + to], to, bytes, size);
}

static void port_read(int port)
{
    static uint8_t bytes[MAX_FRAME];
    for (int i = 0; i < BURST; i++) {
        ssize_t got = read(ports.tap[port], bytes, sizeof bytes);
        if (got <= 0) {
            return;
        }
        forward(port, bytes, (uint32_t)got);
    }
}

static int64_t deliver_all(void)
{
    int64_t now = now_us();
    int64_t next = INT64_MAX;
    for (int i = 0; i < MAX_PORTS * MAX_PORTS; i++) {
        int64_t due = path_deliver(&links[i], now);
        next = due < next ? due : next;
    }
    for (int i = 0; i < MAX_RULES; i++) {
        int64_t due = path_deliver(&rules[i], now);
        next = due < next ? due : next;
    }
    return next;
}

/* -- commands ---------------------------------------------------------------------------------- */

static char *word(char **rest)
{
    char *found;
    do {
        found = strsep(rest, " \n");
    } while (found != NULL && *found == '\0');
    return found;
}

static bool number(const char *text, uint64_t most, uint64_t *ret_value)
{
    if (text == NULL || *text < '0' || *text > '9') {
        return false;
    }
    char *end;
    errno = 0;
    uint64_t value = strtoull(text, &end, 10);
    if (errno != 0 || *end != '\0' || value > most) {
        return false;
    }
    *ret_value = value;
    return true;
}

static bool port_of(const char *text, int *ret_port)
{
    if (text != NULL && strcmp(text, "*") == 0) {
        *ret_port = -1;
        return true;
    }
    for (int i = 0; text != NULL && i < ports.count; i++) {
        if (strcmp(text, ports.name[i]) == 0) {
            *ret_port = i;
            return true;
        }
    }
    return false;
}

struct settings {
    bool has_delay, has_loss, has_rate, has_drop;
    uint64_t delay_us, loss_ppm, rate, drop;
};

static bool settings_of(char **rest, struct settings *ret)
{
    struct settings s = {0};
    const char *key;
    while ((key = word(rest)) != NULL) {
        const char *value = word(rest);
        bool fine = false;
        if (strcmp(key, "delay_us") == 0) {
            fine = s.has_delay = number(value, 600000000, &s.delay_us);
        } else if (strcmp(key, "loss_ppm") == 0) {
            fine = s.has_loss = number(value, 1000000, &s.loss_ppm);
        } else if (strcmp(key, "rate") == 0) {
            fine = s.has_rate = number(value, UINT32_MAX, &s.rate);
        } else if (strcmp(key, "drop") == 0) {
            fine = s.has_drop = number(value, 1, &s.drop);
        }
        if (!fine) {
            return false;
        }
    }
    *ret = s;
    return true;
}

static void apply(struct path *path, const struct settings *s)
{
    path->delay_us = s->has_delay ? s->delay_us : path->delay_us;
    path->loss_ppm = s->has_loss ? s->loss_ppm : path->loss_ppm;
    path->rate = s->has_rate ? s->rate : path->rate;
    path->drop = s->has_drop ? s->drop == 1 : path->drop;
    if (path->drop) {
        path_clear(path); /* what is under way is lost with the cable */
    }
}

static const char *do_link(char **rest)
{
    int from, to;
    struct settings s;
    if (!port_of(word(rest), &from) || !port_of(word(rest), &to) || !settings_of(rest, &s)) {
        return "error link FROM TO SETTING…";
    }
    for (int i = 0; i < ports.count; i++) {
        for (int j = 0; j < ports.count; j++) {
            if (i != j && (from < 0 || from == i) && (to < 0 || to == j)) {
                apply(&links[i * MAX_PORTS + j], &s);
            }
        }
    }
    return "ok";
}

static const char *do_rule(char **rest)
{
    uint64_t id, sport, dport;
    int from, to;
    struct settings s;
    if (!number(word(rest), MAX_RULES - 1, &id) || !port_of(word(rest), &from) ||
        !port_of(word(rest), &to) || !number(word(rest), 65535, &sport) ||
        !number(word(rest), 65535, &dport) || !settings_of(rest, &s)) {
        return "error rule ID FROM TO SPORT DPORT SETTING…";
    }
    struct path *rule = &rules[id];
    rule->used = true;
    rule->from = from;
    rule->to = to;
    rule->sport = (uint32_t)sport;
    rule->dport = (uint32_t)dport;
    apply(rule, &s);
    return "ok";
}

static void rule_clear(struct path *rule)
{
    path_clear(rule);
    memset(rule, 0, sizeof *rule);
}

static const char *do_unrule(char **rest)
{
    const char *which = word(rest);
    uint64_t id;
    if (which != NULL && strcmp(which, "*") == 0) {
        for (int i = 0; i < MAX_RULES; i++) {
            rule_clear(&rules[i]);
        }
        return "ok";
    }
    if (!number(which, MAX_RULES - 1, &id)) {
        return "error unrule ID";
    }
    rule_clear(&rules[id]);
    return "ok";
}

static size_t show_path(char *out, size_t room, const char *head, const struct path *p)
{
    int size = snprintf(out, room,
                        "%s delay_us %" PRIu64 " loss_ppm %" PRIu64 " rate %" PRIu64
                        " drop %d carried %" PRIu64 " dropped %" PRIu64 " lost %" PRIu64
                        " overflowed %" PRIu64 " waiting %" PRIu32 "\n",
                        head, p->delay_us, p->loss_ppm, p->rate, (int)p->drop, p->carried,
                        p->dropped, p->lost, p->overflowed, p->count);
    return size > 0 && (size_t)size < room ? (size_t)size : 0;
}

static const char *do_show(void)
{
    static char text[ANSWER_BYTES];
    char head[96];
    size_t at = 0;
    text[0] = '\0';
    for (int i = 0; i < ports.count; i++) {
        for (int j = 0; j < ports.count; j++) {
            if (i != j) {
                snprintf(head, sizeof head, "link %s %s", ports.name[i], ports.name[j]);
                at += show_path(text + at, sizeof text - at, head, &links[i * MAX_PORTS + j]);
            }
        }
    }
    for (int i = 0; i < MAX_RULES; i++) {
        if (rules[i].used) {
            snprintf(head, sizeof head, "rule %d", i);
            at += show_path(text + at, sizeof text - at, head, &rules[i]);
        }
    }
    return text;
}

static void client_read(int *client)
{
    char text[COMMAND_BYTES];
    ssize_t got = recv(*client, text, sizeof text - 1, 0);
    if (got <= 0) {
        if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
            close(*client);
            *client = -1;
        }
        return;
    }
    text[got] = '\0';
    char *rest = text;
    const char *verb = word(&rest);
    const char *answer = "error what?";
    if (verb != NULL && strcmp(verb, "link") == 0) {
        answer = do_link(&rest);
    } else if (verb != NULL && strcmp(verb, "rule") == 0) {
        answer = do_rule(&rest);
    } else if (verb != NULL && strcmp(verb, "unrule") == 0) {
        answer = do_unrule(&rest);
    } else if (verb != NULL && strcmp(verb, "show") == 0) {
        answer = do_show();
    }
    (void)send(*client, answer, strlen(answer), MSG_NOSIGNAL);
}

static void client_accept(int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    for (int i = 0; fd >= 0 && i < MAX_CLIENTS; i++) {
        if (clients[i] < 0) {
            clients[i] = fd;
            return;
        }
    }
    if (fd >= 0) {
        close(fd);
    }
}

/* -- setting up -------------------------------------------------------------------------------- */

/* A time namespace for those who enter it by the descriptor that is returned. */
static int clocks_make(uint64_t ahead_s)
{
    if (unshare(CLONE_NEWTIME) != 0) {
        die("unshare");
    }
    char text[128];
    int size = snprintf(text, sizeof text, "monotonic %" PRIu64 " 0\nboottime %" PRIu64 " 0\n",
                        ahead_s, ahead_s * 2);
    int offsets = open("/proc/self/timens_offsets", O_WRONLY | O_CLOEXEC);
    if (offsets < 0 || write(offsets, text, (size_t)size) != size) {
        die("/proc/self/timens_offsets");
    }
    close(offsets);
    int clocks = open("/proc/self/ns/time_for_children", O_RDONLY | O_CLOEXEC);
    if (clocks < 0) {
        die("/proc/self/ns/time_for_children");
    }
    return clocks;
}

/* A network namespace with its device, reachable by the descriptor that is returned. */
static int port_make(int port)
{
    if (unshare(CLONE_NEWNET) != 0) {
        die("unshare");
    }
    int tap = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (tap < 0) {
        die("/dev/net/tun");
    }
    struct ifreq request = {.ifr_name = "hf0"};
    request.ifr_flags = IFF_TAP | IFF_NO_PI;
    if (ioctl(tap, TUNSETIFF, &request) != 0) {
        die("TUNSETIFF");
    }
    int any = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq hardware = {.ifr_name = "hf0"};
    hardware.ifr_hwaddr.sa_family = ARPHRD_ETHER;
    const uint8_t address[6] = {0x02, 0x48, 0x46, 0x00, 0x00, (uint8_t)(port + 1)};
    memcpy(hardware.ifr_hwaddr.sa_data, address, sizeof address);
    if (any < 0 || ioctl(any, SIOCSIFHWADDR, &hardware) != 0) {
        die("SIOCSIFHWADDR");
    }
    close(any);
    ports.tap[port] = tap;
    int space = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    if (space < 0) {
        die("/proc/self/ns/net");
    }
    return space;
}

static int listen_at(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        die(path);
    }
    memcpy(address.sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(fd, MAX_CLIENTS) != 0) {
        die(path);
    }
    return fd;
}

static void serve(int listener)
{
    struct pollfd fds[MAX_PORTS + 1 + MAX_CLIENTS];
    for (;;) {
        int64_t next = deliver_all();
        nfds_t n = 0;
        for (int i = 0; i < ports.count; i++) {
            fds[n++] = (struct pollfd){.fd = ports.tap[i], .events = POLLIN};
        }
        fds[n++] = (struct pollfd){.fd = listener, .events = POLLIN};
        for (int i = 0; i < MAX_CLIENTS; i++) {
            fds[n++] = (struct pollfd){.fd = clients[i], .events = POLLIN};
        }
        int64_t wait = next == INT64_MAX ? 1000000 : next - now_us();
        wait = wait < 0 ? 0 : wait;
        struct timespec timeout = {.tv_sec = wait / 1000000, .tv_nsec = wait % 1000000 * 1000};
        if (ppoll(fds, n, &timeout, NULL) < 0 && errno != EINTR) {
            die("ppoll");
        }
        for (int i = 0; i < ports.count; i++) {
            if (fds[i].revents != 0) {
                port_read(i);
            }
        }
        for (int i = 0; i < MAX_CLIENTS; i++) {
            if (clients[i] >= 0 && fds[ports.count + 1 + i].revents != 0) {
                client_read(&clients[i]);
            }
        }
        if (fds[ports.count].revents != 0) {
            client_accept(listener);
        }
    }
}

int main(int argc, char **argv)
{
    if (argc < 4 || argc > 2 + MAX_PORTS) {
        fprintf(stderr, "usage: holdfast-switch SOCKET NAME[@SECONDS] NAME[@SECONDS]…\n");
        return 2;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* the network goes with the test that made it */
    int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    if (home < 0) {
        die("/proc/self/ns/net");
    }
    for (int i = 0; i < argc - 2; i++) {
        char *ahead = argv[i + 2];
        ports.name[i] = strsep(&ahead, "@");
        uint64_t ahead_s = 0;
        if (ahead != NULL && !number(ahead, 10000000, &ahead_s)) {
            errno = EINVAL;
            die(ahead);
        }
        int space = port_make(i);
        printf("port %s /proc/%d/fd/%d /proc/%d/fd/%d\n", ports.name[i], (int)getpid(), space,
               (int)getpid(), clocks_make(ahead_s));
        ports.count++;
    }
    if (setns(home, CLONE_NEWNET) != 0) {
        die("setns");
    }
    int listener = listen_at(argv[1]);
    puts("ready");
    fflush(stdout);
    serve(listener);
}
