/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/core/pagecheck.h"

#include <string.h>

enum { SUMS = 32, ROWS = HF_PAGE_SIZE / (SUMS * 4) };
static const uint32_t PRIME = 16777619;

/* Where each of the interleaved sums begins; part of PostgreSQL's on-disk format. */
static const uint32_t OFFSETS[SUMS] = {
    0x5B1F36E9, 0xB8525960, 0x02AB50AA, 0x1DE66D2A, 0x79FF467A, 0x9BB9F8A3, 0x217E7CD2, 0x83E13D2C,
    0xF8D4474F, 0xE39EB970, 0x42C6AE16, 0x993216FA, 0x7B093B5D, 0x98DAFF3C, 0xF718902A, 0x0B1C9CDB,
    0xE58F764B, 0x187636BC, 0x5D7B3BB1, 0xE73DE7DE, 0x92BEC979, 0xCCA6C0B2, 0x304A0979, 0x85AA43D4,
    0x783125BB, 0x6CA8EAA2, 0xE407EAC6, 0x4B5CFC3E, 0x9FBF8C76, 0x15CA20BE, 0xF2CA9FD3, 0x959BD756};

/* Offsets in the page header. */
enum { AT_CHECKSUM = 8, AT_UPPER = 14 };

static inline uint32_t mix(uint32_t sum, uint32_t value)
{
    uint32_t t = sum ^ value;
    return (t * PRIME) ^ (t >> 17);
}

/* On the host's words: PostgreSQL's files are in the host's byte order. The loops over the sums
 * have no dependence on each other, so that the compiler makes vectors of them. */
static __attribute__((optimize("O3"))) uint32_t fold_page(const uint8_t *page)
{
    uint32_t sums[SUMS];
    uint32_t row[SUMS];
    memcpy(sums, OFFSETS, sizeof(sums));
    for (size_t i = 0; i < ROWS; i++) {
        memcpy(row, page + i * sizeof(row), sizeof(row));
        if (i == 0) {
            row[AT_CHECKSUM / 4] &= 0xFFFF0000U; /* the checksum itself counts as 0 */
        }
        for (size_t j = 0; j < SUMS; j++) {
            sums[j] = mix(sums[j], row[j]);
        }
    }
    uint32_t all = 0;
    for (size_t j = 0; j < SUMS; j++) {
        all ^= mix(mix(sums[j], 0), 0); /* two rounds of zeroes let the last words spread */
    }
    return all;
}

uint16_t hf_page_checksum(const uint8_t page[HF_PAGE_SIZE], uint32_t block)
{
    return (uint16_t)((fold_page(page) ^ block) % 65535 + 1);
}

bool hf_page_valid(const uint8_t page[HF_PAGE_SIZE], uint32_t block)
{
    uint16_t upper;
    uint16_t stored;
    memcpy(&upper, page + AT_UPPER, sizeof(upper));
    memcpy(&stored, page + AT_CHECKSUM, sizeof(stored));
    return upper == 0 || stored == hf_page_checksum(page, block);
}

hf_lsn hf_page_lsn(const uint8_t page[HF_PAGE_SIZE])
{
    uint32_t high;
    uint32_t low;
    memcpy(&high, page, sizeof(high));
    memcpy(&low, page + 4, sizeof(low));
    return HF_LSN((uint64_t)high << 32 | low);
}

bool hf_relation_file(const char *name, uint32_t *ret_segment)
{
    static const char *const FORKS[] = {"_fsm", "_vm", "_init"};
    size_t digits = strspn(name, "0123456789");
    if (digits == 0 || digits > 10) {
        return false;
    }
    const char *rest = name + digits;
    for (size_t i = 0; i < 3; i++) {
        size_t n = strlen(FORKS[i]);
        if (strncmp(rest, FORKS[i], n) == 0) {
            rest += n;
            break;
        }
    }
    uint32_t segment = 0;
    if (*rest == '.') {
        rest++;
        size_t n = strspn(rest, "0123456789");
        if (n == 0 || n > 6) {
            return false;
        }
        for (; n > 0; n--) {
            segment = segment * 10 + (uint32_t)(*rest++ - '0');
        }
    }
    if (*rest != '\0') {
        return false;
    }
    *ret_segment = segment;
    return true;
}
