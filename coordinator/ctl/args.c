/* SPDX-License-Identifier: Apache-2.0 */
#include "coordinator/ctl/args.h"

#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"

enum { HELP_COLUMN = 28, LABEL_SIZE = 96, NAMES_MAX = 400 };

/* --- finding --- */

static const struct hf_ctl_option *find_in(const struct hf_ctl_option *options, const char *name,
                                           size_t len, char letter)
{
    for (const struct hf_ctl_option *o = options; o != NULL && o->name != NULL; o++) {
        if (letter != 0 ? o->letter == letter
                        : (strlen(o->name) == len && strncmp(o->name, name, len) == 0) ||
                              (o->alias != NULL && strlen(o->alias) == len &&
                               strncmp(o->alias, name, len) == 0)) {
            return o;
        }
    }
    return NULL;
}

/* How many of the command's words the words begin with; 0 = not this command. */
static size_t matches(const struct hf_ctl_command *c, const char *const *words, size_t count)
{
    const char *p = c->name;
    for (size_t i = 0;; i++) {
        size_t n = strcspn(p, " ");
        if (i == count || strlen(words[i]) != n || strncmp(p, words[i], n) != 0) {
            return 0;
        }
        p += n;
        if (*p == '\0') {
            return i + 1;
        }
        p++;
    }
}

static hf_result unknown_command(const struct hf_ctl_command *commands, const char *const *words,
                                 size_t count, struct hf_err *err)
{
    HF_BUF(names, NAMES_MAX);
    bool group = false;
    for (const struct hf_ctl_command *c = commands; c->name != NULL; c++) {
        size_t n = strcspn(c->name, " ");
        group = group || (strlen(words[0]) == n && strncmp(c->name, words[0], n) == 0);
    }
    for (const struct hf_ctl_command *c = commands; c->name != NULL; c++) {
        size_t n = strcspn(c->name, " ");
        bool same = strlen(words[0]) == n && strncmp(c->name, words[0], n) == 0;
        if (!c->hidden && (!group || same)) {
            HF_TRY(hf_buf_printf(&names, err, "%s%s", names.len == 0 ? "" : ", ", c->name));
        }
    }
    return hf_fail(err, HF_E_INVALID, "unknown command \"%.32s%s%.32s\"; allowed: %s", words[0],
                   count > 1 ? " " : "", count > 1 ? words[1] : "", hf_buf_text(&names));
}

/* Words before the first option decide the command; options may stand before them too. */
static hf_result find_command(const struct hf_ctl_command *commands,
                              const struct hf_ctl_option *globals, int argc,
                              const char *const *argv, struct hf_ctl_args *a, struct hf_err *err)
{
    const char *words[2] = {NULL};
    size_t count = 0;
    for (int i = 0; i < argc && count < 2; i++) {
        if (argv[i][0] != '-') {
            words[count++] = argv[i];
            continue;
        }
        bool longer = argv[i][1] == '-';
        const struct hf_ctl_option *o =
            longer ? find_in(globals, argv[i] + 2, strlen(argv[i] + 2), 0)
                   : (strlen(argv[i]) == 2 ? find_in(globals, "", 0, argv[i][1]) : NULL);
        if (o != NULL && o->argument == HF_CTL_VALUE) {
            i++;
        } else if (o == NULL && count > 0) {
            break; /* an option of the command: what follows is not its name */
        }
    }
    size_t best = 0;
    for (const struct hf_ctl_command *c = commands; c->name != NULL; c++) {
        size_t n = matches(c, words, count);
        if (n > best) {
            best = n;
            a->command = c;
        }
    }
    if (count > 0 && best == 0) {
        return unknown_command(commands, words, count, err);
    }
    return hf_done();
}

/* --- options --- */

struct scan {
    const struct hf_ctl_option *globals;
    int argc;
    const char *const *argv;
    int at;
    struct hf_ctl_args *args;
    struct hf_err *err;
};

static hf_result unknown_option(const struct scan *s, const char *word)
{
    HF_BUF(names, NAMES_MAX);
    const struct hf_ctl_option *lists[] = {
        s->args->command == NULL ? NULL : s->args->command->options, s->globals};
    for (size_t i = 0; i < 2; i++) {
        for (const struct hf_ctl_option *o = lists[i]; o != NULL && o->name != NULL; o++) {
            HF_TRY(hf_buf_printf(&names, s->err, "%s--%s", names.len == 0 ? "" : ", ", o->name));
        }
    }
    return hf_fail(s->err, HF_E_INVALID, "unknown option \"%.64s\"; allowed: %s", word,
                   hf_buf_text(&names));
}

static hf_result keep(const struct scan *s, const struct hf_ctl_option *o, const char *value)
{
    struct hf_ctl_args *a = s->args;
    if (!o->repeated && hf_ctl_arg(a, o->name) != NULL) {
        return hf_fail(s->err, HF_E_INVALID, "option --%s is given twice", o->name);
    }
    if (a->option_count == HF_CTL_MAX_OPTIONS) {
        return hf_fail(s->err, HF_E_INVALID, "more than %d options", HF_CTL_MAX_OPTIONS);
    }
    a->options[a->option_count].option = o;
    a->options[a->option_count].value = value;
    a->option_count++;
    return hf_done();
}

static hf_result take_option(struct scan *s)
{
    const char *word = s->argv[s->at];
    bool longer = word[1] == '-';
    const char *equals = longer ? strchr(word, '=') : NULL;
    size_t len = longer ? (equals == NULL ? strlen(word + 2) : (size_t)(equals - word - 2)) : 0;
    char letter = longer ? '\0' : word[1];
    const char *name = longer ? word + 2 : "";
    const struct hf_ctl_option *o =
        find_in(s->args->command == NULL ? NULL : s->args->command->options, name, len, letter);
    o = o == NULL ? find_in(s->globals, name, len, letter) : o;
    if (o == NULL) {
        return unknown_option(s, word);
    }
    const char *value = equals != NULL ? equals + 1 : !longer && word[2] != '\0' ? word + 2 : NULL;
    if (o->argument == HF_CTL_FLAG) {
        return value != NULL ? hf_fail(s->err, HF_E_INVALID, "option --%s takes no value", o->name)
                             : keep(s, o, "");
    }
    const char *next = s->at + 1 < s->argc ? s->argv[s->at + 1] : NULL;
    if (value == NULL && next != NULL &&
        (o->argument == HF_CTL_VALUE || (next[0] >= '0' && next[0] <= '9'))) {
        value = next;
        s->at++;
    }
    if (value == NULL && o->argument == HF_CTL_VALUE) {
        return hf_fail(s->err, HF_E_INVALID, "option --%s needs %s", o->name, o->value);
    }
    return keep(s, o, value == NULL ? "" : value);
}

/* Words of the command's own name are dropped. */
static hf_result take_words(struct scan *s)
{
    struct hf_ctl_args *a = s->args;
    size_t skip = 0;
    if (a->command != NULL) {
        skip = 1;
        for (const char *p = a->command->name; *p != '\0'; p++) {
            skip += *p == ' ';
        }
    }
    bool only_words = false;
    for (s->at = 0; s->at < s->argc; s->at++) {
        const char *word = s->argv[s->at];
        if (!only_words && strcmp(word, "--") == 0) {
            only_words = true;
        } else if (!only_words && word[0] == '-' && word[1] != '\0') {
            HF_TRY(take_option(s));
        } else if (skip > 0) {
            skip--;
        } else if (a->word_count == HF_CTL_MAX_WORDS) {
            return hf_fail(s->err, HF_E_INVALID, "more than %d arguments", HF_CTL_MAX_WORDS);
        } else {
            a->words[a->word_count++] = word;
        }
    }
    return hf_done();
}

hf_result hf_ctl_args_parse(const struct hf_ctl_command *commands,
                            const struct hf_ctl_option *globals, int argc, const char *const *argv,
                            struct hf_ctl_args *ret, struct hf_err *err)
{
    struct hf_ctl_args a = {0};
    HF_TRY(find_command(commands, globals, argc, argv, &a, err));
    struct scan s = {.globals = globals, .argc = argc, .argv = argv, .args = &a, .err = err};
    HF_TRY(take_words(&s));
    a.help = hf_ctl_arg(&a, "help") != NULL;
    if (a.command == NULL && !a.help) {
        return hf_fail(err, HF_E_INVALID, "no command; see holdfast --help");
    }
    if (!a.help && (a.word_count < a.command->min_words || a.word_count > a.command->max_words)) {
        return hf_fail(err, HF_E_INVALID, "%zu arguments; allowed: holdfast %s %s", a.word_count,
                       a.command->name, a.command->words);
    }
    *ret = a;
    return hf_done();
}

const char *hf_ctl_arg(const struct hf_ctl_args *args, const char *name)
{
    for (size_t i = args->option_count; i > 0; i--) {
        if (strcmp(args->options[i - 1].option->name, name) == 0) {
            return args->options[i - 1].value;
        }
    }
    return NULL;
}

size_t hf_ctl_arg_all(const struct hf_ctl_args *args, const char *name, const char **ret,
                      size_t max)
{
    size_t count = 0;
    for (size_t i = 0; i < args->option_count && count < max; i++) {
        if (strcmp(args->options[i].option->name, name) == 0) {
            ret[count++] = args->options[i].value;
        }
    }
    return count;
}

/* --- help --- */

static hf_result help_options(const struct hf_ctl_option *options, struct hf_buf *out,
                              struct hf_err *err)
{
    for (const struct hf_ctl_option *o = options; o != NULL && o->name != NULL; o++) {
        char label[LABEL_SIZE];
        char letter[8] = "    ";
        if (o->letter != 0) {
            (void)snprintf(letter, sizeof letter, "-%c, ", o->letter);
        }
        (void)snprintf(label, sizeof label,
                       o->argument == HF_CTL_OPTIONAL ? "%s--%s%s[%s]" : "%s--%s%s%s", letter,
                       o->name, o->argument == HF_CTL_FLAG ? "" : " ",
                       o->argument == HF_CTL_FLAG ? "" : o->value);
        HF_TRY(hf_buf_printf(out, err, "  %-*s %s\n", HELP_COLUMN, label, o->doc));
    }
    return hf_done();
}

hf_result hf_ctl_help(const struct hf_ctl_command *commands, const struct hf_ctl_option *globals,
                      const struct hf_ctl_command *command, struct hf_buf *out, struct hf_err *err)
{
    if (command != NULL) {
        HF_TRY(hf_buf_printf(out, err, "usage: holdfast %s %s\n\n%s\n", command->name,
                             command->words, command->doc));
        if (command->options != NULL) {
            HF_TRY(hf_buf_append_str(out, "\noptions\n", err));
            HF_TRY(help_options(command->options, out, err));
        }
    } else {
        HF_TRY(hf_buf_append_str(out, "usage: holdfast COMMAND [OPTION...]\n\ncommands\n", err));
        for (const struct hf_ctl_command *c = commands; c->name != NULL; c++) {
            if (!c->hidden) {
                HF_TRY(hf_buf_printf(out, err, "  %-*s %s\n", HELP_COLUMN, c->name, c->doc));
            }
        }
    }
    HF_TRY(hf_buf_append_str(out, "\nglobal options\n", err));
    return help_options(globals, out, err);
}
