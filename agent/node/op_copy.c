/* SPDX-License-Identifier: Apache-2.0
 *
 * The fresh copy: the way to a standby that always works, and costs the whole database.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/node/child.h"
#include "agent/node/op_standby.h"
#include "agent/node/pgconf.h"
#include "common/base/mem.h"
#include "common/io/files.h"

enum { COPY_TRIES = 5 };

static const char *data_dir(const struct hf_op *op)
{
    return op->env->config->postgresql.data_dir;
}

static void closedir_cleanup(DIR **d)
{
    if (*d != NULL) {
        closedir(*d);
    }
}

/* Everything below the directory, not the directory itself: it may be a mount point. */
static hf_result empty_directory(struct hf_op *op, struct hf_err *err)
{
    HF_TRY(hf_dir_make(data_dir(op), 0700, err));
    __attribute__((cleanup(closedir_cleanup))) DIR *d = opendir(data_dir(op));
    if (d == NULL) {
        return hf_fail_errno(err, errno, "open %s", data_dir(op));
    }
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        char path[HF_PATH_SIZE + 300];
        struct stat st;
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) {
            continue;
        }
        HF_TRY(hf_op_check(op, err));
        snprintf(path, sizeof(path), "%s/%s", data_dir(op), e->d_name);
        if (fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
            return hf_fail_errno(err, errno, "stat %s", path);
        }
        if (S_ISDIR(st.st_mode)) {
            HF_TRY(hf_dir_remove_tree(path, err));
        } else if (unlinkat(dirfd(d), e->d_name, 0) != 0) {
            return hf_fail_errno(err, errno, "remove %s", path);
        }
    }
    if (chmod(data_dir(op), 0700) != 0) {
        return hf_fail_errno(err, errno, "chmod %s", data_dir(op));
    }
    return hf_dir_sync(data_dir(op), err);
}

static bool canceled(void *arg)
{
    return hf_job_canceled(&((struct hf_op *)arg)->job);
}

static hf_result base_backup(struct hf_op *op, const char *slot, struct hf_err *err)
{
    char program[HF_PATH_SIZE + 32];
    HF_BUF(source, HF_OP_CONNINFO_MAX);
    int status = 0;
    HF_TRY(hf_op_source(op, true, &source, err));
    snprintf(program, sizeof(program), "%s/pg_basebackup", op->env->config->postgresql.bin_dir);
    const char *const argv[] = {
        program, "-D", data_dir(op), "-d",   hf_buf_text(&source), "-X", "stream",
        "-S",    slot, "-c",         "fast", "--no-password",      NULL};
    struct hf_child_run run = {.argv = argv,
                               .canceled = canceled,
                               .canceled_arg = op,
                               .log = op->env->log,
                               .directory = data_dir(op),
                               .timeout = HF_OP_COPY_LIMIT};
    HF_TRY(hf_child_run(&run, &status, err));
    return status == 0 ? hf_done()
                       : hf_fail(err, HF_E_IO, "pg_basebackup from %s: exit status %d; see %s",
                                 op->address, status, op->env->log);
}

hf_result hf_op_copy_fresh(struct hf_op *op, const char *slot, struct hf_err *err)
{
    HF_TRY(hf_file_write_durable(op->env->copying_mark, "", 0, 0600, err));
    HF_TRY(hf_op_server_end(op, err)); /* and a tool of an agent that was killed */
    hf_result r = hf_done();
    for (int i = 0; i < COPY_TRIES; i++) {
        HF_TRY(empty_directory(op, err));
        r = base_backup(op, slot, err);
        if (hf_ok(r) || r.code == HF_E_CANCELED) {
            break;
        }
        HF_TRY(hf_op_check(op, err));
        hf_op_sleep_ms(500); /* the slot may still be held by a connection that died */
    }
    HF_TRY(r);
    HF_TRY(hf_pgconf_signal_put(data_dir(op), err));
    HF_TRY(hf_op_standby_settings(op, slot, true, err));
    HF_TRY(hf_file_remove_durable(op->env->copying_mark, err));
    return hf_op_standby_up(op, err);
}
