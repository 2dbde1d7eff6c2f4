/* SPDX-License-Identifier: Apache-2.0
 *
 * The command line of `holdfast`, parsed by one table of commands, from which the help comes too.
 * Options may stand anywhere; "--" ends them.
 * Invariant: what a command runs with has exactly the options that the table allows it.
 */
#ifndef HF_CTL_ARGS_H
#define HF_CTL_ARGS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/buf.h"
#include "common/base/err.h"

enum { HF_CTL_MAX_OPTIONS = 48, HF_CTL_MAX_WORDS = 16 };

enum hf_ctl_argument { HF_CTL_FLAG, HF_CTL_VALUE, HF_CTL_OPTIONAL };

struct hf_ctl_option {
    const char *name;              /* "--" is put before it */
    const char *alias;             /* another long name, not in the help; NULL = none */
    char letter;                   /* 0 = none */
    enum hf_ctl_argument argument; /* OPTIONAL: taken when the next word begins with a digit */
    const char *value;             /* "FILE", for the help */
    const char *doc;
    bool repeated;
};

struct hf_ctl;

struct hf_ctl_command {
    const char *name;  /* "cluster apply" */
    const char *words; /* positional arguments, for the help */
    size_t min_words, max_words;
    const char *doc;
    const struct hf_ctl_option *options; /* ends with a NULL name; NULL = none */
    hf_result (*run)(struct hf_ctl *ctl, struct hf_err *err);
    bool hidden;
};

struct hf_ctl_args {
    const struct hf_ctl_command *command; /* NULL: help was asked for without one */
    bool help;
    const char *words[HF_CTL_MAX_WORDS];
    size_t word_count;
    struct {
        const struct hf_ctl_option *option;
        const char *value; /* "" for a flag */
    } options[HF_CTL_MAX_OPTIONS];
    size_t option_count;
};

/* argv without the program's name. commands and globals end with a NULL name. HF_E_INVALID: wrong
 * usage, the text says what is allowed. Strings of argv are borrowed. */
hf_result hf_ctl_args_parse(const struct hf_ctl_command *commands,
                            const struct hf_ctl_option *globals, int argc, const char *const *argv,
                            struct hf_ctl_args *ret, struct hf_err *err) HF_MUST_USE;
/* The last value of an option, NULL when it was not given. */
const char *hf_ctl_arg(const struct hf_ctl_args *args, const char *name);
/* Every value of a repeated option; returns how many (<= max). */
size_t hf_ctl_arg_all(const struct hf_ctl_args *args, const char *name, const char **ret,
                      size_t max);

/* Help of one command, or (NULL) of all. */
hf_result hf_ctl_help(const struct hf_ctl_command *commands, const struct hf_ctl_option *globals,
                      const struct hf_ctl_command *command, struct hf_buf *out,
                      struct hf_err *err) HF_MUST_USE;

#endif
