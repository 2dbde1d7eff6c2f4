/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/node/fencer_start.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include "agent/node/child.h"
#include "common/base/mem.h"

enum { WAIT_STEPS = 100, STEP_MS = 20 };

bool hf_fencer_runs(const char *lock)
{
    HF_AUTOCLOSE int fd = open(lock, O_RDWR | O_CLOEXEC);
    return fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) != 0;
}

pid_t hf_fencer_pid(const char *lock)
{
    HF_AUTOCLOSE int fd = open(lock, O_RDWR | O_CLOEXEC);
    char text[32] = "";
    if (fd < 0 || flock(fd, LOCK_SH | LOCK_NB) == 0) {
        return 0;
    }
    ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
    long pid = n > 0 ? strtol(text, NULL, 10) : 0;
    return pid > 1 ? (pid_t)pid : 0;
}

hf_result hf_fencer_ensure(const struct hf_fencer_files *files, struct hf_err *err)
{
    if (hf_fencer_runs(files->lock)) {
        return hf_done();
    }
    const char *const argv[] = {files->program, "--page", files->page, "--lock", files->lock, NULL};
    pid_t pid = 0;
    HF_TRY(hf_child_detach(argv, files->log, &pid, err));
    for (int i = 0; i < WAIT_STEPS; i++) {
        if (hf_fencer_runs(files->lock)) {
            return hf_done();
        }
        poll(NULL, 0, STEP_MS);
    }
    return hf_fail(err, HF_E_TIMEOUT, "%s did not take its lock %s; see %s", files->program,
                   files->lock, files->log);
}
