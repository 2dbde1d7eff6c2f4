/* SPDX-License-Identifier: Apache-2.0
 *
 * init: finds the local PostgreSQL, makes a posix repository, a key and agent.yaml, takes the first
 * backup, and says what comes next. With a configuration that is there already it makes what is
 * missing and changes nothing else.
 */
#include <dirent.h>
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/backup/pgsource.h"
#include "agent/cli/context.h"
#include "agent/cli/repository_verbs.h"
#include "common/base/mem.h"
#include "common/io/files.h"

enum { CANDIDATES = 8 };

struct found {
    char socket_dir[HF_PATH_SIZE / 2];
    char port[8];
    char user[HF_NAME_SIZE];
    char data_directory[HF_PATH_SIZE];
    uint32_t version;
};

struct words {
    const char *repository, *port, *socket_dir, *user, *tenant, *cluster, *name;
    bool no_backup;
};

/* --- finding PostgreSQL --------------------------------------------------------------------- */

static hf_result try_server(const char *dir, const char *port, const char *user, struct found *ret,
                            struct hf_err *err)
{
    struct hf_pg_config pg = {.host = dir, .port = port, .dbname = "postgres", .user = user};
    struct hf_pgsource *source = NULL;
    HF_TRY(hf_pgsource_open(&pg, &source, err));
    snprintf(ret->socket_dir, sizeof(ret->socket_dir), "%s", dir);
    snprintf(ret->port, sizeof(ret->port), "%.6s", port);
    snprintf(ret->user, sizeof(ret->user), "%.60s", user);
    snprintf(ret->data_directory, sizeof(ret->data_directory), "%s",
             hf_pgsource_data_directory(source));
    ret->version = hf_pgsource_version(source);
    hf_pgsource_close(source);
    return hf_done();
}

/* Ports of the sockets ".s.PGSQL.5432" in a directory. */
static size_t list_ports(const char *dir, char ports[][8], size_t room)
{
    size_t n = 0;
    DIR *d = opendir(dir);
    if (d == NULL) {
        return 0;
    }
    for (struct dirent *e = readdir(d); e != NULL && n < room; e = readdir(d)) {
        char port[8] = "";
        int end = 0;
        if (sscanf(e->d_name, ".s.PGSQL.%5[0-9]%n", port, &end) == 1 && e->d_name[end] == '\0') {
            memcpy(ports[n++], port, sizeof(port));
        }
    }
    closedir(d);
    return n;
}

static hf_result find_server(const struct words *w, struct found *ret, struct hf_err *err)
{
    static const char *const DIRS[] = {"/run/postgresql", "/var/run/postgresql", "/tmp", NULL};
    const char *const given[] = {w->socket_dir, NULL};
    const char *const *dirs = w->socket_dir != NULL ? given : DIRS;
    struct passwd *me = getpwuid(geteuid());
    const char *user = w->user != NULL ? w->user : me != NULL ? me->pw_name : "postgres";
    struct hf_err last = {0};
    for (size_t i = 0; dirs[i] != NULL; i++) {
        char ports[CANDIDATES][8];
        size_t n = list_ports(dirs[i], ports, CANDIDATES);
        for (size_t k = 0; k < n; k++) {
            if (w->port != NULL && strcmp(w->port, ports[k]) != 0) {
                continue;
            }
            if (hf_ok(try_server(dirs[i], ports[k], user, ret, &last))) {
                return hf_done();
            }
        }
    }
    if (last.code != HF_OK) {
        *err = last;
        return hf_fail_context(err, "a PostgreSQL was found, but did not let us in");
    }
    return hf_fail(err, HF_E_NOT_FOUND,
                   "no PostgreSQL was found (looked for sockets in %s); name it by --socket-dir "
                   "and --port",
                   w->socket_dir != NULL ? w->socket_dir : "/run/postgresql and /tmp");
}

/* --- making what is missing ----------------------------------------------------------------- */

static hf_result directory_of(const char *path, char *ret, size_t size, struct hf_err *err)
{
    char cwd[HF_PATH_SIZE / 2] = "";
    if (path[0] != '/' && getcwd(cwd, sizeof(cwd)) == NULL) {
        return hf_fail_errno(err, errno, "find the working directory");
    }
    int n = snprintf(ret, size, "%s%s%s", cwd, cwd[0] == '\0' ? "" : "/", path);
    if (n < 0 || (size_t)n >= size) {
        return hf_fail(err, HF_E_LIMIT, "%s: path of %d bytes, allowed are %zu", path, n, size - 1);
    }
    *strrchr(ret, '/') = '\0';
    return hf_done();
}

static hf_result write_config(const struct hf_cli *cli, const struct words *w,
                              const struct found *pg, const char *dir, struct hf_err *err)
{
    HF_BUF(text, 16384);
    char repository[HF_PATH_SIZE];
    char key[HF_PATH_SIZE];
    if (w->repository != NULL) {
        snprintf(repository, sizeof(repository), "%.1000s", w->repository);
    } else {
        snprintf(repository, sizeof(repository), "%.900s/repository", dir);
    }
    snprintf(key, sizeof(key), "%.900s/k1.key", dir);
    HF_TRY(hf_dir_make(dir, 0700, err));
    HF_TRY(hf_dir_make(repository, 0700, err));
    hf_result made = hf_kek_file_create(key, err);
    if (!hf_ok(made) && made.code != HF_E_EXISTS) {
        return made;
    }
    HF_TRY(hf_buf_printf(&text, err,
                         "# written by holdfast-agent init\n"
                         "version: 1\n"
                         "tenant: %s\n"
                         "cluster: %s\n"
                         "region: local\n"
                         "name: %s\n"
                         "state_dir: %s/state\n"
                         "socket: %s/agent.sock\n"
                         "postgresql:\n"
                         "  data_dir: \"%s\"\n"
                         "  bin_dir: /usr/lib/postgresql/%u/bin\n"
                         "  socket_dir: \"%s\"\n"
                         "  advertise: \"127.0.0.1:%s\"\n"
                         "  manage: observe\n"
                         "  user: %s\n"
                         "repositories:\n"
                         "  local: {type: posix, path: \"%s\"}\n"
                         "encryption: {active: k1, keys: {k1: {file: k1.key}}}\n",
                         w->tenant != NULL ? w->tenant : "default",
                         w->cluster != NULL ? w->cluster : "main",
                         w->name != NULL ? w->name : "local-1", dir, dir, pg->data_directory,
                         pg->version / 10000, pg->socket_dir, pg->port, pg->user, repository));
    HF_TRY(hf_file_create_once(cli->config_path, text.data, text.len, 0600, err));
    fprintf(stderr, "found PostgreSQL %u in %s; wrote %s, key %s, repository %s\n",
            pg->version / 10000, pg->data_directory, cli->config_path, key, repository);
    return hf_done();
}

/* The posix repositories of a configuration that is there already. */
static hf_result make_repositories(const struct hf_cli *cli, struct hf_err *err)
{
    const struct hf_config_agent *c = cli->config;
    for (size_t i = 0; i < c->repository_count; i++) {
        if (c->repositories[i].type == HF_CONFIG_POSIX) {
            HF_TRY(hf_dir_make(c->repositories[i].path, 0700, err));
        }
    }
    for (size_t i = 0; i < c->encryption.key_count; i++) {
        const char *file = c->encryption.keys[i].file;
        if (file[0] == '\0' || hf_file_exists(file)) {
            continue;
        }
        HF_TRY(hf_kek_file_create(file, err));
        fprintf(stderr, "made key %s\n", file);
    }
    return hf_done();
}

static void print_next(const struct hf_cli *cli)
{
    char self[HF_PATH_SIZE];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    self[n > 0 ? n : 0] = '\0';
    /* PostgreSQL runs the command in its data directory. */
    char *absolute = realpath(cli->config_path, NULL);
    const char *config = absolute != NULL ? absolute : cli->config_path;
    const char *key = cli->config->encryption.keys[0].file;
    fprintf(stderr,
            "\nWhat to do next:\n"
            "1. Keep a copy of the key outside this host; without it no backup can be read:\n"
            "     %s\n"
            "2. Archive WAL, so that every moment can be restored (archive_mode needs a restart):\n"
            "     archive_mode = on\n"
            "     archive_command = '%s archive-push --config %s %%p'\n"
            "3. Look:     %s list --config %s\n"
            "4. Try it:   %s restore --config %s --to /some/empty/directory\n",
            key[0] != '\0' ? key : "(see encryption in the configuration)", self, config, self,
            config, self, config);
    free(absolute);
}

static hf_result prepare(struct hf_cli *cli, const struct words *w, uint64_t *ret_system_id,
                         struct hf_err *err)
{
    char dir[HF_PATH_SIZE];
    HF_TRY(directory_of(cli->config_path, dir, sizeof(dir), err));
    if (!hf_file_exists(cli->config_path)) {
        struct found pg;
        HF_TRY(find_server(w, &pg, err));
        HF_TRY(write_config(cli, w, &pg, dir, err));
    }
    HF_TRY(hf_cli_load(cli, err));
    HF_TRY(make_repositories(cli, err));
    HF_TRY(hf_cli_system_id(cli, ret_system_id, err));
    return hf_cli_open(cli, *ret_system_id, err);
}

int hf_cli_init(int argc, char **argv)
{
    HF_AUTOCLI struct hf_cli cli = {0};
    struct hf_err err = {0};
    struct words w = {0};
    uint64_t system_id = 0;
    const struct hf_cli_option options[] = {{"--repository", &w.repository, NULL},
                                            {"--port", &w.port, NULL},
                                            {"--socket-dir", &w.socket_dir, NULL},
                                            {"--user", &w.user, NULL},
                                            {"--tenant", &w.tenant, NULL},
                                            {"--cluster", &w.cluster, NULL},
                                            {"--name", &w.name, NULL},
                                            {"--no-backup", NULL, &w.no_backup},
                                            {NULL, NULL, NULL}};
    if (!hf_cli_parse(&cli, argc, argv, options, 0)) {
        return HF_CLI_USAGE;
    }
    if (!hf_ok(prepare(&cli, &w, &system_id, &err))) {
        return hf_cli_fail(&cli, &err);
    }
    int code = w.no_backup ? HF_CLI_OK : hf_cli_take_backup(&cli, 0, false, true);
    print_next(&cli);
    return code;
}
