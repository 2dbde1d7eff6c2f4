/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/node/op_control.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/node/child.h"
#include "common/core/lsn.h"

void hf_op_control_line(struct hf_op_control *c, const char *line)
{
    const char *colon = strchr(line, ':');
    if (colon == NULL) {
        return;
    }
    const char *value = colon + 1;
    while (*value == ' ') {
        value++;
    }
    size_t n = (size_t)(colon - line);
#define IS(text) (n == sizeof(text) - 1 && memcmp(line, (text), n) == 0)
    if (IS("Database system identifier")) {
        c->system_id = strtoull(value, NULL, 10);
    } else if (IS("Database cluster state")) {
        c->shut_down =
            strcmp(value, "shut down") == 0 || strcmp(value, "shut down in recovery") == 0;
    } else if (IS("Latest checkpoint's REDO location")) {
        HF_IGNORE(hf_lsn_parse(value, &c->redo, NULL), "stays 0 and is refused below");
    } else if (IS("Latest checkpoint's TimeLineID")) {
        c->timeline = HF_TLI(strtoul(value, NULL, 10));
    } else if (IS("Minimum recovery ending location")) {
        HF_IGNORE(hf_lsn_parse(value, &c->minimum, NULL), "0/0 without one");
    } else if (IS("Min recovery ending loc's timeline")) {
        c->minimum_timeline = HF_TLI(strtoul(value, NULL, 10));
    } else if (IS("Bytes per WAL segment")) {
        c->segment_size = strtoull(value, NULL, 10);
    } else if (IS("wal_log_hints setting")) {
        c->pages_logged = c->pages_logged || strcmp(value, "on") == 0;
    } else if (IS("Data page checksum version")) {
        c->pages_logged = c->pages_logged || strtoul(value, NULL, 10) != 0;
    }
#undef IS
}

static bool take_line(void *arg, const char *line)
{
    hf_op_control_line(arg, line);
    return true;
}

hf_result hf_op_control(struct hf_op *op, struct hf_op_control *ret, struct hf_err *err)
{
    const struct hf_config_postgresql *pg = &op->env->config->postgresql;
    char program[HF_PATH_SIZE + 32];
    int status = 0;
    struct hf_op_control c = {.segment_size = 0};
    snprintf(program, sizeof(program), "%s/pg_controldata", pg->bin_dir);
    const char *const argv[] = {program, "-D", pg->data_dir, NULL};
    struct hf_child_run run = {.argv = argv,
                               .line = take_line,
                               .line_arg = &c,
                               .log = op->env->log,
                               .timeout = HF_SEC(30)};
    HF_TRY(hf_child_run(&run, &status, err));
    if (status != 0 || c.redo.v == 0 || c.timeline.v == 0 ||
        !hf_segment_size_valid(c.segment_size)) {
        return hf_fail(err, HF_E_CORRUPT, "%s: no usable answer (exit status %d); see %s", program,
                       status, op->env->log);
    }
    *ret = c;
    return hf_done();
}
