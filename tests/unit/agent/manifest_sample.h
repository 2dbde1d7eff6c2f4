/* SPDX-License-Identifier: Apache-2.0
 *
 * A small manifest with something in every list.
 */
#ifndef HF_TEST_MANIFEST_SAMPLE_H
#define HF_TEST_MANIFEST_SAMPLE_H

#include <stdio.h>
#include <string.h>

#include "agent/core/manifest.h"
#include "common/base/mem.h"

static inline void sample_digest(char *to, char c)
{
    memset(to, c, HF_DIGEST_HEX_SIZE - 1);
    to[HF_DIGEST_HEX_SIZE - 1] = '\0';
}

static inline struct hf_manifest *manifest_sample(void)
{
    struct hf_manifest *m = hf_manifest_new();
    snprintf(m->label, sizeof(m->label), "20261121T002100Z-F");
    snprintf(m->tenant, sizeof(m->tenant), "demo");
    snprintf(m->cluster, sizeof(m->cluster), "main");
    snprintf(m->region, sizeof(m->region), "eu");
    snprintf(m->writer, sizeof(m->writer), "eu-1");
    snprintf(m->program, sizeof(m->program), "holdfast 0.1.0");
    snprintf(m->predecessor, sizeof(m->predecessor), "20261120T002100Z-F");
    sample_digest(m->predecessor_digest, 'a');
    m->system_id = UINT64_C(7123456789012345678);
    m->epoch = HF_EPOCH(2);
    m->pg_version_num = 150020;
    m->block_size = 8192;
    m->segment_size = 16 << 20;
    m->data_checksums = true;
    m->started_at.us = INT64_C(1795220460000000);
    m->completed_at.us = INT64_C(1795220465500000);
    m->timeline = HF_TLI(1);
    m->start = HF_LSN(0x2000028);
    m->stop = HF_LSN(0x2000100);
    hf_free(m->backup_label);
    m->backup_label = hf_strdup("START WAL LOCATION: 0/2000028 (file 000000010000000000000002)\n");
    hf_free(m->tablespace_map);
    m->tablespace_map = hf_strdup("16390 /srv/fast\n");
    memset(m->secret_id, 5, sizeof(m->secret_id));
    m->tablespaces = hf_alloc_array(1, sizeof(*m->tablespaces));
    m->tablespaces[0].oid = 16390;
    snprintf(m->tablespaces[0].path, sizeof(m->tablespaces[0].path), "/srv/fast");
    m->tablespace_count = 1;
    m->collations = hf_alloc_array(1, sizeof(*m->collations));
    snprintf(m->collations[0].name, sizeof(m->collations[0].name), "database app");
    snprintf(m->collations[0].provider, sizeof(m->collations[0].provider), "libc");
    snprintf(m->collations[0].version, sizeof(m->collations[0].version), "2.36");
    m->collation_count = 1;
    m->findings = hf_alloc_array(1, sizeof(*m->findings));
    snprintf(m->findings[0].path, sizeof(m->findings[0].path), "base/5/16384");
    m->findings[0].block = 77;
    m->finding_count = 1;
    m->findings_total = 1;
    m->shards = hf_alloc_array(1, sizeof(*m->shards));
    snprintf(m->shards[0].name, sizeof(m->shards[0].name), "backup/%s/map-00000001", m->label);
    sample_digest(m->shards[0].digest, 'b');
    m->shards[0].entries = 1002;
    m->shard_count = 1;
    m->packs = hf_alloc_array(2, sizeof(*m->packs));
    for (unsigned i = 0; i < 2; i++) {
        snprintf(m->packs[i].name, sizeof(m->packs[i].name), "backup/%s/pack-%08u", m->label,
                 i + 1);
        sample_digest(m->packs[i].digest, 'c');
        m->packs[i].stored_bytes = 1000 + i;
        m->packs[i].frames = 10;
    }
    m->pack_count = 2;
    m->entries = 1002;
    m->original_bytes = 337008071;
    m->read_bytes = 337008071;
    m->stored_bytes = 2001;
    m->pages_checked = 41130;
    return m;
}

#endif
