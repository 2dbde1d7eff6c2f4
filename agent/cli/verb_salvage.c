/* SPDX-License-Identifier: Apache-2.0
 *
 * salvage list, salvage get: WAL that was saved before a node rejoined without it.
 */
#include <stdio.h>
#include <string.h>

#include "agent/cli/context.h"
#include "agent/cli/repository_verbs.h"
#include "agent/rejoin/salvage.h"
#include "common/base/mem.h"

#define LOCAL "local" /* of this host's state directory */

/* A host without repositories has its own directory. */
static hf_result open_places(struct hf_cli *cli, struct hf_err *err)
{
    HF_TRY(hf_cli_load(cli, err));
    return cli->config->repository_count == 0 ? hf_done() : hf_cli_open(cli, 0, err);
}

static size_t places(const struct hf_cli *cli)
{
    return cli->config->repository_count == 0 ? 1 : cli->repositories;
}

static struct hf_repository *place(const struct hf_cli *cli, size_t i)
{
    return cli->config->repository_count == 0 ? NULL : cli->site.repositories[i];
}

static const char *place_name(const struct hf_cli *cli, size_t i)
{
    struct hf_repository *r = place(cli, i);
    return r == NULL ? LOCAL : hf_repository_name(r);
}

/* --- list ----------------------------------------------------------------------------------- */

struct summary {
    char first[64];
    char last[64];
    uint64_t transactions;
};

static hf_result read_summary(struct hf_cli *cli, size_t at, const struct hf_salvage_entry *e,
                              struct summary *ret, struct hf_err *err)
{
    HF_BUF(text, HF_SALVAGE_REPORT_MAX);
    HF_AUTOJSON hf_json *report = NULL;
    struct summary s = {.first = ""};
    HF_TRY(hf_salvage_report(place(cli, at), cli->config, &e->node, e->id, &text, err));
    HF_TRY(hf_json_parse(hf_buf_text(&text), text.len, HF_SALVAGE_REPORT_MAX, &report, err));
    HF_TRY(hf_json_get_u64(report, "transaction_count", &s.transactions, err));
    HF_TRY(hf_json_get_text_opt(report, "first_commit", s.first, sizeof(s.first), err));
    HF_TRY(hf_json_get_text_opt(report, "last_commit", s.last, sizeof(s.last), err));
    *ret = s;
    return hf_done();
}

static void print_json(hf_json *array, const char *where, const struct hf_salvage_entry *e,
                       const struct summary *s)
{
    char id[HF_NAME_SIZE + HF_SALVAGE_ID_SIZE];
    hf_json *o = hf_json_object();
    snprintf(id, sizeof(id), "%s/%s", e->node.s, e->id);
    hf_json_put_text(o, "id", id);
    hf_json_put_text(o, "where", where);
    hf_json_put_text(o, "state", e->complete ? "complete" : "unfinished");
    hf_json_put_u64(o, "files", e->files);
    hf_json_put_u64(o, "stored_bytes", e->stored_bytes);
    if (e->complete) {
        hf_json_put_u64(o, "transactions", s->transactions);
        hf_json_put_text(o, "first_commit", s->first);
        hf_json_put_text(o, "last_commit", s->last);
    }
    hf_json_push(array, o);
}

static void print_row(const char *where, const struct hf_salvage_entry *e, const struct summary *s)
{
    char id[HF_NAME_SIZE + HF_SALVAGE_ID_SIZE];
    char size[32];
    snprintf(id, sizeof(id), "%s/%s", e->node.s, e->id);
    printf("%-34s %-10s %-10s %5llu files %10s", id, where, e->complete ? "complete" : "unfinished",
           (unsigned long long)e->files, hf_cli_size(e->stored_bytes, size, sizeof(size)));
    if (e->complete) {
        printf("  %llu transactions  %s  %s", (unsigned long long)s->transactions, s->first,
               s->last);
    }
    putchar('\n');
}

static hf_result list_place(struct hf_cli *cli, size_t at, hf_json *array, struct hf_err *err)
{
    HF_AUTOFREE struct hf_salvage_entry *list =
        hf_alloc_array(HF_SALVAGE_ENTRIES_MAX, sizeof(*list));
    size_t n = 0;
    HF_TRY(hf_salvage_list(place(cli, at), cli->config, list, HF_SALVAGE_ENTRIES_MAX, &n, err));
    for (size_t i = 0; i < n; i++) {
        struct summary s = {.first = ""};
        if (list[i].complete) {
            HF_TRY(read_summary(cli, at, &list[i], &s, err));
        }
        if (cli->json) {
            print_json(array, place_name(cli, at), &list[i], &s);
        } else {
            print_row(place_name(cli, at), &list[i], &s);
        }
    }
    return hf_done();
}

static int list(struct hf_cli *cli)
{
    struct hf_err err = {0};
    hf_result r = open_places(cli, &err);
    if (!hf_ok(r)) {
        return hf_cli_fail(cli, &err);
    }
    int code = HF_CLI_OK;
    hf_json *array = hf_json_array();
    for (size_t i = 0; i < places(cli); i++) {
        if (!hf_ok(list_place(cli, i, array, &err))) {
            code = hf_cli_fail(cli, &err); /* the others are shown all the same */
        }
    }
    if (!cli->json) {
        hf_json_free(array);
        return code;
    }
    hf_json *o = hf_json_object();
    hf_json_put(o, "salvaged", array);
    int printed = hf_cli_print_json(o);
    return code != HF_CLI_OK ? code : printed;
}

/* --- get ------------------------------------------------------------------------------------ */

/* The place that has all of it; else the first that has something. One that does not answer hides
 * nothing that another has; only when nobody has it, its error is what is said. */
static hf_result find_place(struct hf_cli *cli, const hf_name *node, const char *id, size_t *ret,
                            struct hf_err *err)
{
    HF_AUTOFREE struct hf_salvage_entry *list =
        hf_alloc_array(HF_SALVAGE_ENTRIES_MAX, sizeof(*list));
    bool found = false;
    bool complete = false;
    hf_result silent = hf_done();
    for (size_t at = 0; at < places(cli); at++) {
        size_t n = 0;
        struct hf_err why;
        hf_result r =
            hf_salvage_list(place(cli, at), cli->config, list, HF_SALVAGE_ENTRIES_MAX, &n, &why);
        if (!hf_ok(r)) {
            *err = why;
            silent = r;
            continue;
        }
        for (size_t i = 0; i < n; i++) {
            bool this = strcmp(list[i].node.s, node->s) == 0 && strcmp(list[i].id, id) == 0;
            if (this && (!found || (list[i].complete && !complete))) {
                *ret = at;
                found = true;
                complete = list[i].complete;
            }
        }
    }
    if (!found && !hf_ok(silent)) {
        return silent;
    }
    return found ? hf_done()
                 : hf_fail(err, HF_E_NOT_FOUND, "nothing was salvaged as %s/%s", node->s, id);
}

static hf_result get(struct hf_cli *cli, const char *to, struct hf_err *err)
{
    hf_name node;
    char id[HF_SALVAGE_ID_SIZE];
    size_t at = 0;
    uint64_t files = 0;
    HF_TRY(hf_salvage_parse(cli->words[1], &node, id, err));
    HF_TRY(open_places(cli, err));
    HF_TRY(find_place(cli, &node, id, &at, err));
    HF_TRY(hf_salvage_fetch(place(cli, at), cli->config, &node, id, to, &files, err));
    if (!cli->json) {
        printf("%llu files of %s/%s from %s in %s\n", (unsigned long long)files, node.s, id,
               place_name(cli, at), to);
        return hf_done();
    }
    hf_json *o = hf_json_object();
    hf_json_put_text(o, "id", cli->words[1]);
    hf_json_put_text(o, "where", place_name(cli, at));
    hf_json_put_text(o, "to", to);
    hf_json_put_u64(o, "files", files);
    (void)hf_cli_print_json(o);
    return hf_done();
}

int hf_cli_salvage(int argc, char **argv)
{
    HF_AUTOCLI struct hf_cli cli = {0};
    struct hf_err err = {0};
    const char *to = NULL;
    const struct hf_cli_option options[] = {{"--to", &to, NULL}, {NULL, NULL, NULL}};
    if (!hf_cli_parse(&cli, argc, argv, options, 2)) {
        return HF_CLI_USAGE;
    }
    if (cli.word_count == 1 && strcmp(cli.words[0], "list") == 0 && to == NULL) {
        return list(&cli);
    }
    if (cli.word_count == 2 && strcmp(cli.words[0], "get") == 0 && to != NULL) {
        return hf_ok(get(&cli, to, &err)) ? HF_CLI_OK : hf_cli_fail(&cli, &err);
    }
    fprintf(stderr, "usage: holdfast-agent salvage list\n"
                    "       holdfast-agent salvage get NODE/TIMELINE-FORK --to DIR\n");
    return HF_CLI_USAGE;
}
