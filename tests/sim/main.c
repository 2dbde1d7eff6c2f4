/* SPDX-License-Identifier: Apache-2.0
 *
 * holdfast-sim: runs seeds in two worker processes and sums up. --help tells the options.
 */
#include "tests/sim/faults.h"
#include "tests/sim/report.h"
#include "tests/sim/world.h"

#include "common/base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct options {
    uint64_t from;
    uint64_t seeds;
    bool one;
    uint64_t seed;
    bool trace;
    bool plants; /* every planted bug */
    const char *plant;
    const char *list; /* file of seeds that failed once */
    const char *commit;
};

static const char *const plant_names[HF_PLANT_COUNT] = {
    [HF_PLANT_NONE] = "none",
    [HF_PLANT_CONTENDER_HURRIES] = "contender-hurries",
    [HF_PLANT_GRANT_WITHOUT_RENEWAL] = "grant-without-renewal",
    [HF_PLANT_GRANT_FROM_ARRIVAL] = "grant-from-arrival",
    [HF_PLANT_PROMISE_NOT_PERSISTED] = "promise-not-persisted",
    [HF_PLANT_FAILSAFE_MAJORITY] = "failsafe-majority",
    [HF_PLANT_HANDOVER_FORGETS] = "handover-forgets",
    [HF_PLANT_REGRANT_SURRENDERED] = "regrant-surrendered",
    [HF_PLANT_PREPARE_KEEPS_RECEIVING] = "prepare-keeps-receiving",
    [HF_PLANT_ORDER_IGNORED] = "order-ignored",
    [HF_PLANT_EPOCH_REUSED] = "epoch-reused",
    [HF_PLANT_RESTORED_TRUSTED] = "restored-trusted",
    [HF_PLANT_RECOVERED_LOW] = "recovered-low",
};

enum { DEFAULT_SEEDS = 20000, PLANT_SEEDS = 2000 };

static int usage(FILE *out)
{
    fputs("usage: holdfast-sim [--from S] [--seeds N]      run N seeds (default 20000)\n"
          "       holdfast-sim --seed S [--trace]          run one\n"
          "       holdfast-sim --list FILE [...]           first the seeds of this file\n"
          "       holdfast-sim --commit HASH [...]         printed with a seed that fails\n"
          "       holdfast-sim --list-plants               planted bugs\n"
          "       holdfast-sim --plant NAME|NUMBER [...]   find one (builds with -DHF_PLANT=ON)\n"
          "       holdfast-sim --plants [--seeds N]        find each within N seeds (2000)\n",
          out);
    return out == stderr ? 2 : 0;
}

static bool number(const char *text, uint64_t *ret)
{
    char *end = NULL;
    if (text == NULL || text[0] < '0' || text[0] > '9') {
        return false;
    }
    *ret = strtoull(text, &end, 10);
    return *end == '\0';
}

static bool parse(int argc, char **argv, struct options *o)
{
    for (int i = 1; i < argc; i++) {
        const char *a = argv[i];
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(a, "--trace") == 0) {
            o->trace = true;
        } else if (strcmp(a, "--plants") == 0) {
            o->plants = true;
        } else if (strcmp(a, "--seeds") == 0 && number(value, &o->seeds)) {
            i++;
        } else if (strcmp(a, "--from") == 0 && number(value, &o->from)) {
            i++;
        } else if (strcmp(a, "--seed") == 0 && number(value, &o->seed)) {
            o->one = true;
            i++;
        } else if (strcmp(a, "--plant") == 0 && value != NULL) {
            o->plant = value;
            i++;
        } else if (strcmp(a, "--commit") == 0 && value != NULL) {
            o->commit = value;
            i++;
        } else if (strcmp(a, "--list") == 0 && value != NULL) {
            o->list = value;
            i++;
        } else {
            return false;
        }
    }
    return !o->trace || o->one;
}

static int list_plants(void)
{
    for (int i = 1; i < HF_PLANT_COUNT; i++) {
        printf("%2d %s\n", i, plant_names[i]);
    }
    return 0;
}

static int plant_by_name(const char *name)
{
    uint64_t n = 0;
    if (number(name, &n)) {
        return n < HF_PLANT_COUNT ? (int)n : -1;
    }
    for (int i = 0; i < HF_PLANT_COUNT; i++) {
        if (strcmp(plant_names[i], name) == 0) {
            return i;
        }
    }
    return -1;
}

static bool activate(int plant)
{
#ifdef HF_PLANT
    hf_plant_active = (enum hf_plant)plant;
    return true;
#else
    return plant == HF_PLANT_NONE;
#endif
}

static int run_one(const struct options *o)
{
    struct sim_world *w = hf_alloc(sizeof(*w));
    sim_world_run(w, o->seed, o->trace);
    printf("seed %llu: %lld.%03lld s, %d faults, %s%s%s\n", (unsigned long long)o->seed,
           (long long)(w->now / SIM_SECOND), (long long)(w->now % SIM_SECOND / 1000),
           w->seed_faults, w->failed ? sim_check_text[w->failed_check] : "ok",
           w->failed ? ": " : "", w->failed ? w->failure : "");
    bool failed = w->failed;
    if (failed) {
        printf("commit %s\n", o->commit);
    }
    printf("sim: %d passed, %d failed\n", failed ? 0 : 1, failed ? 1 : 0);
    hf_free(w);
    return failed ? 1 : 0;
}

/* Each planted bug must be found; which seed and which checker did it is told. */
static int run_plants(const struct options *o)
{
    int passed = 0;
    int failed = 0;
    for (int p = 1; p < HF_PLANT_COUNT; p++) {
        if (o->plant != NULL && plant_by_name(o->plant) != p) {
            continue;
        }
        activate(p);
        struct sim_result r;
        sim_run_seeds(o->from, o->seeds != 0 ? o->seeds : PLANT_SEEDS, true, &r);
        if (r.failures > 0) {
            printf("ok    planted bug %s found by seed %llu: %s: %s\n", plant_names[p],
                   (unsigned long long)r.first.seed, sim_check_text[r.first.check], r.first.text);
            passed++;
        } else {
            printf("FAIL  planted bug %s not found by %llu seeds\n", plant_names[p],
                   (unsigned long long)r.stats.seeds);
            failed++;
        }
        fflush(stdout);
    }
    activate(HF_PLANT_NONE);
    printf("sim: %d passed, %d failed\n", passed, failed);
    return failed == 0 && passed > 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    struct options o = {.commit = "unknown"};
    if (argc == 2 && strcmp(argv[1], "--list-plants") == 0) {
        return list_plants();
    }
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        return usage(stdout);
    }
    int plant = HF_PLANT_NONE;
    if (!parse(argc, argv, &o) ||
        (o.plant != NULL && (plant = plant_by_name(o.plant)) < HF_PLANT_NONE)) {
        return usage(stderr);
    }
    if ((plant != HF_PLANT_NONE || o.plants) && !activate(plant == HF_PLANT_NONE ? 1 : plant)) {
        fputs("planted bugs are in builds with -DHF_PLANT=ON only\n", stderr);
        return 2;
    }
    if (o.one) {
        return run_one(&o);
    }
    if (plant != HF_PLANT_NONE || o.plants) {
        return run_plants(&o);
    }
    return sim_report_all(o.list, o.from, o.seeds != 0 ? o.seeds : DEFAULT_SEEDS, o.commit);
}
