/* SPDX-License-Identifier: Apache-2.0
 *
 * Transaction signatures on DNS messages (RFC 8945), by hand on HMAC: hmac-sha256 and hmac-sha512.
 * Pure, besides the file that holds the key: the time comes in.
 * Invariants: an answer counts only when it is signed with the same key over the MAC of its own
 * question, in full length, within the fudge of now; bytes of the key are in no text.
 */
#ifndef HF_COORDINATOR_TSIG_H
#define HF_COORDINATOR_TSIG_H

#include "common/io/crypto.h"
#include "common/io/secret.h"

enum {
    HF_TSIG_NAME_SIZE = 256,
    HF_TSIG_FUDGE_S = 300,
    HF_TSIG_ROOM = 700 /* at most so many bytes does a signature add */
};
enum hf_tsig_algorithm { HF_TSIG_SHA256, HF_TSIG_SHA512 };

struct hf_tsig_key {
    enum hf_tsig_algorithm algorithm;
    char name[HF_TSIG_NAME_SIZE]; /* lower case, without the final dot */
    struct hf_secret secret;
};
void hf_tsig_key_free(struct hf_tsig_key *key);
#define HF_AUTOTSIG __attribute__((cleanup(hf_tsig_key_free)))

/* A private file with one key, as BIND's tsig-keygen writes it (key "NAME" { algorithm ...; secret
 * "..."; };) or in one line [ALGORITHM:]NAME:SECRET, base64; hmac-sha256 when not said. HF_E_DENIED
 * (mode), HF_E_NOT_FOUND, HF_E_INVALID. */
hf_result hf_tsig_key_read(const char *path, struct hf_tsig_key *ret,
                           struct hf_err *err) HF_MUST_USE;
hf_result hf_tsig_key_parse(const char *text, struct hf_tsig_key *ret,
                            struct hf_err *err) HF_MUST_USE;

/* The MAC of a question, which its answer is checked with. */
struct hf_tsig_mac {
    uint8_t bytes[HF_SHA512_SIZE];
    size_t len;
};

/* Appends the signature to a message of *len bytes in a buffer of `size`. HF_E_LIMIT. */
hf_result hf_tsig_sign(const struct hf_tsig_key *key, int64_t now_s, uint8_t *packet, size_t size,
                       size_t *len, struct hf_tsig_mac *ret, struct hf_err *err) HF_MUST_USE;
/* Checks the signature of the answer to the message that `question` is of, and cuts it off.
 * HF_E_DENIED: none, another key's, too old, or the server says that it does not accept ours (the
 * text says which); HF_E_CORRUPT: not a DNS message. */
hf_result hf_tsig_verify(const struct hf_tsig_key *key, const struct hf_tsig_mac *question,
                         int64_t now_s, uint8_t *packet, size_t *len,
                         struct hf_err *err) HF_MUST_USE;

#endif
