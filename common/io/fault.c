/* SPDX-License-Identifier: Apache-2.0 */
#include "common/io/fault.h"

#ifndef HF_FAULTS

size_t hf_fault_list(const char **ret_names, size_t max)
{
    (void)ret_names;
    (void)max;
    return 0;
}

hf_result hf_fault_configure(const char *text, struct hf_err *err)
{
    if (text == NULL || text[0] == '\0') {
        return hf_done();
    }
    return hf_fail(err, HF_E_UNSUPPORTED, "fault points are not compiled in (HF_FAULTS)");
}

#else

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { FAULTS_MAX = 32, FAULT_NAME_SIZE = 64 };

enum fault_action { FAULT_ERROR, FAULT_KILL, FAULT_STOP, FAULT_DELAY };

struct fault {
    char name[FAULT_NAME_SIZE];
    enum fault_action action;
    unsigned long first; /* passage at which it begins, 1 = the first */
    unsigned long count; /* of errors; 0 = all from there on */
    unsigned long delay_ms;
    unsigned long passages;
};

/* The points' section: the linker gives its bounds. A point of this file's own makes sure that the
 * section exists in every binary that has fault points compiled in. */
extern const struct hf_fault_point __start_hf_faults[];
extern const struct hf_fault_point __stop_hf_faults[];

static pthread_mutex_t fault_lock = PTHREAD_MUTEX_INITIALIZER;
static struct fault faults[FAULTS_MAX];
static size_t fault_count;
static bool fault_loaded;

static int by_name(const void *a, const void *b)
{
    const char *const *x = a;
    const char *const *y = b;
    return strcmp(*x, *y);
}

size_t hf_fault_list(const char **ret_names, size_t max)
{
    const char *all[1024];
    size_t n = 0;
    for (const struct hf_fault_point *p = __start_hf_faults; p < __stop_hf_faults; p++) {
        if (n < sizeof(all) / sizeof(all[0])) {
            all[n++] = p->name;
        }
    }
    qsort(all, n, sizeof(all[0]), by_name);
    size_t distinct = 0;
    for (size_t i = 0; i < n; i++) {
        if (i > 0 && strcmp(all[i], all[i - 1]) == 0) {
            continue;
        }
        if (distinct < max) {
            ret_names[distinct] = all[i];
        }
        distinct++;
    }
    return distinct;
}

static bool fault_known(const char *name)
{
    for (const struct hf_fault_point *p = __start_hf_faults; p < __stop_hf_faults; p++) {
        if (strcmp(p->name, name) == 0) {
            return true;
        }
    }
    return false;
}

/* Takes "<mark>digits" off *text when it begins with the mark. */
static bool take_number(const char **text, char mark, unsigned long *ret)
{
    if (**text != mark) {
        return true;
    }
    char *end;
    unsigned long v = strtoul(*text + 1, &end, 10);
    if (end == *text + 1 || v > 1000000000) {
        return false;
    }
    *ret = v;
    *text = end;
    return true;
}

static bool parse_action(const char *text, struct fault *f)
{
    static const struct {
        const char *word;
        enum fault_action action;
    } words[] = {
        {"error", FAULT_ERROR}, {"kill", FAULT_KILL}, {"stop", FAULT_STOP}, {"delay", FAULT_DELAY}};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        size_t n = strlen(words[i].word);
        if (strncmp(text, words[i].word, n) != 0) {
            continue;
        }
        const char *rest = text + n;
        unsigned long number = 0;
        f->action = words[i].action;
        f->first = 1;
        if (!take_number(&rest, '@', &f->first) || !take_number(&rest, ':', &number)) {
            return false;
        }
        f->count = f->action == FAULT_ERROR ? number : 1;
        f->delay_ms = f->action == FAULT_DELAY ? number : 0;
        return *rest == '\0' && f->first > 0;
    }
    return false;
}

/* With the lock held. */
static hf_result configure(const char *text, struct hf_err *err)
{
    struct fault parsed[FAULTS_MAX];
    size_t n = 0;
    while (text != NULL && *text != '\0') {
        size_t len = strcspn(text, ";");
        char item[160];
        if (len >= sizeof(item) || n == FAULTS_MAX) {
            return hf_fail(err, HF_E_INVALID, "HF_FAULT: too long, at most %d faults", FAULTS_MAX);
        }
        memcpy(item, text, len);
        item[len] = '\0';
        text += len + (text[len] == ';');
        char *equal = strchr(item, '=');
        struct fault *f = &parsed[n];
        *f = (struct fault){0};
        if (equal == NULL || equal - item >= FAULT_NAME_SIZE) {
            return hf_fail(err, HF_E_INVALID, "HF_FAULT: '%s' is not name=action", item);
        }
        *equal = '\0';
        snprintf(f->name, sizeof(f->name), "%.*s", FAULT_NAME_SIZE - 1, item);
        if (!fault_known(f->name) || !parse_action(equal + 1, f)) {
            return hf_fail(err, HF_E_INVALID,
                           "HF_FAULT: no fault point '%s' or no action '%s' (error[@K][:N] "
                           "kill[@K] stop[@K] delay:MS)",
                           f->name, equal + 1);
        }
        n++;
    }
    memcpy(faults, parsed, n * sizeof(parsed[0]));
    fault_count = n;
    fault_loaded = true;
    return hf_done();
}

hf_result hf_fault_configure(const char *text, struct hf_err *err)
{
    pthread_mutex_lock(&fault_lock);
    hf_result r = configure(text, err);
    pthread_mutex_unlock(&fault_lock);
    return r;
}

/* True when this passage triggers; *ret is a copy to act on without the lock. */
static bool fault_due(const char *name, struct fault *ret)
{
    bool due = false;
    pthread_mutex_lock(&fault_lock);
    if (!fault_loaded) {
        struct hf_err err = {0};
        if (!hf_ok(configure(getenv("HF_FAULT"), &err))) {
            fprintf(stderr, "%s\n", err.text);
            abort();
        }
    }
    for (size_t i = 0; i < fault_count && !due; i++) {
        struct fault *f = &faults[i];
        if (strcmp(f->name, name) != 0) {
            continue;
        }
        f->passages++;
        bool open_ended = f->action == FAULT_DELAY || (f->action == FAULT_ERROR && f->count == 0);
        due = f->passages >= f->first && (open_ended || f->passages < f->first + f->count);
        *ret = *f;
    }
    pthread_mutex_unlock(&fault_lock);
    return due;
}

hf_result hf_fault_pass(const struct hf_fault_point *point, struct hf_err *err)
{
    struct fault f;
    if (!fault_due(point->name, &f)) {
        return hf_done();
    }
    switch (f.action) {
    case FAULT_KILL:
        kill(getpid(), SIGKILL);
        pause();
        break;
    case FAULT_STOP:
        kill(getpid(), SIGSTOP);
        return hf_done();
    case FAULT_DELAY: {
        struct timespec t = {(time_t)(f.delay_ms / 1000), (long)(f.delay_ms % 1000) * 1000000};
        nanosleep(&t, NULL);
        return hf_done();
    }
    case FAULT_ERROR:
        break;
    }
    return hf_fail(err, HF_E_IO, "fault point %s", point->name);
}

#endif
