/* SPDX-License-Identifier: Apache-2.0
 *
 * Documents of Route 53 as its API reference shows them, and what is not such a document.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "common/base/mem.h"
#include "coordinator/route/route53_xml.h"

#define NS "xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\""
#define LIST(sets)                                                                                 \
    "<?xml version=\"1.0\"?><ListResourceRecordSetsResponse " NS "><ResourceRecordSets>" sets      \
    "</ResourceRecordSets><IsTruncated>false</IsTruncated></ListResourceRecordSetsResponse>"
#define SET(name, type, rest)                                                                      \
    "<ResourceRecordSet><Name>" name "</Name><Type>" type "</Type>" rest "</ResourceRecordSet>"
#define VALUES(ttl, values) "<TTL>" ttl "</TTL><ResourceRecords>" values "</ResourceRecords>"
#define VALUE(v)            "<ResourceRecord><Value>" v "</Value></ResourceRecord>"

static const struct hf_route_record WANT = {
    .name = "db.hf.test.", .type = HF_ROUTE_A, .ttl = {2000000}, .value = "127.0.2.1"};

static hf_result list(const char *text, struct hf_route_seen *seen, struct hf_err *err)
{
    return hf_r53_read_list(text, strlen(text), &WANT, seen, err);
}

static void listings(void **state)
{
    (void)state;
    struct hf_route_seen seen;
    struct hf_err err;
    assert_true(hf_ok(list(LIST(""), &seen, &err)));
    assert_int_equal(seen.count, 0);
    assert_true(hf_ok(list(LIST(SET("DB.hf.test.", "A", VALUES("2", VALUE("127.0.2.1")))
                                    SET("db.hf.test.", "TXT", VALUES("9", VALUE("127.0.9.9")))
                                        SET("dc.hf.test.", "A", VALUES("9", VALUE("127.0.9.9")))),
                           &seen, &err)));
    assert_int_equal(seen.count, 1);
    assert_true(seen.found);
    assert_true(hf_ok(
        list(LIST(SET("db.hf.test.", "A", VALUES("300", VALUE("127.0.1.1") VALUE("127.0.2.1")))),
             &seen, &err)));
    assert_int_equal(seen.count, 2);
    assert_int_equal(seen.ttl.us, 300000000);
    assert_false(seen.found);
    assert_int_equal(
        list(LIST(SET("db.hf.test.", "A",
                      "<SetIdentifier>one</SetIdentifier>" VALUES("2", VALUE("127.0.2.1")))),
             &seen, &err)
            .code,
        HF_E_REFUSED);
    assert_int_equal(
        list(LIST(SET("db.hf.test.", "A", "<AliasTarget><DNSName>x.</DNSName></AliasTarget>")),
             &seen, &err)
            .code,
        HF_E_REFUSED);
    assert_int_equal(
        list(LIST(SET("db.hf.test.", "A", VALUES("2s", VALUE("127.0.2.1")))), &seen, &err).code,
        HF_E_CORRUPT);
    static const char *const wrong[] = {"", "<html></html>", "{}", "<ErrorResponse/>"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_int_equal(list(wrong[i], &seen, &err).code, HF_E_CORRUPT);
    }
    static const char whole[] = LIST(SET("db.hf.test.", "A", VALUES("2", VALUE("127.0.2.1"))));
    for (size_t cut = 0; cut < sizeof whole - 1; cut++) {
        HF_AUTOFREE char *copy = hf_alloc(cut + 1);
        memcpy(copy, whole, cut);
        assert_false(hf_ok(hf_r53_read_list(copy, cut, &WANT, &seen, NULL)));
    }
}

static void changes(void **state)
{
    (void)state;
    static const struct {
        const char *id;
        const char *status;
        const char *wanted; /* NULL: no change */
        bool in_sync;
    } cases[] = {
        {"/change/C2682N5HXP0BZ4", "PENDING", "C2682N5HXP0BZ4", false},
        {"/change/C2682N5HXP0BZ4", "INSYNC", "C2682N5HXP0BZ4", true},
        {"C1", "INSYNC", "C1", true},
        {"/change/", "INSYNC", NULL, false},
        {"/change/../x", "INSYNC", NULL, false},
        {"/change/C1", "LOST", NULL, false},
        {"/change/C1", "", NULL, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[512];
        struct hf_r53_change c;
        struct hf_err err;
        (void)snprintf(text, sizeof text,
                       "<GetChangeResponse " NS "><ChangeInfo><Id>%s</Id><Status>%s</Status>"
                       "</ChangeInfo></GetChangeResponse>",
                       cases[i].id, cases[i].status);
        hf_result r = hf_r53_read_change(text, strlen(text), &c, &err);
        assert_int_equal(hf_ok(r), cases[i].wanted != NULL);
        if (hf_ok(r)) {
            assert_string_equal(c.id, cases[i].wanted);
            assert_int_equal(c.in_sync, cases[i].in_sync);
        }
    }
}

static void errors(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *code;
        const char *message;
    } cases[] = {
        {"<ErrorResponse " NS "><Error><Type>Sender</Type><Code>NoSuchHostedZone</Code>"
         "<Message>none\n with it</Message></Error></ErrorResponse>",
         "NoSuchHostedZone", "none  with it"},
        {"<InvalidChangeBatch " NS "><Messages><Message>first</Message><Message>second</Message>"
         "</Messages></InvalidChangeBatch>",
         "InvalidChangeBatch", "first"},
        {"<ErrorResponse><Error><Code>X</Code>", "", ""},
        {"busy", "", ""},
        {"", "", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct hf_r53_error e;
        hf_r53_read_error(cases[i].text, strlen(cases[i].text), &e);
        assert_string_equal(e.code, cases[i].code);
        assert_string_equal(e.message, cases[i].message);
    }
}

static void a_change_is_written_of_plain_words_only(void **state)
{
    (void)state;
    HF_BUF(out, 8192);
    struct hf_route_record record = WANT;
    struct hf_err err;
    assert_true(hf_ok(hf_r53_write_change(&record, &out, &err)));
    assert_non_null(strstr(hf_buf_text(&out),
                           "<Action>UPSERT</Action><ResourceRecordSet><Name>db.hf.test.</Name>"
                           "<Type>A</Type><TTL>2</TTL>"));
    (void)snprintf(record.value, sizeof record.value, "a</Value>");
    assert_int_equal(hf_r53_write_change(&record, &out, &err).code, HF_E_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(listings),
        cmocka_unit_test(changes),
        cmocka_unit_test(errors),
        cmocka_unit_test(a_change_is_written_of_plain_words_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
