/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/io/clock.h"
#include "common/io/loop.h"
#include "common/io/service.h"

static char dir[] = "/tmp/hf-service-XXXXXX";
static int manager;

static int start(void **state)
{
    (void)state;
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    if (mkdtemp(dir) == NULL) {
        return -1;
    }
    snprintf(a.sun_path, sizeof(a.sun_path), "%s/notify", dir);
    manager = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    setenv("NOTIFY_SOCKET", a.sun_path, 1);
    return bind(manager, (struct sockaddr *)&a, sizeof(a));
}
static int stop(void **state)
{
    (void)state;
    char path[128];
    snprintf(path, sizeof(path), "%s/notify", dir);
    close(manager);
    unlink(path);
    return rmdir(dir);
}

static const char *next_message(void)
{
    static char text[1024];
    ssize_t n = recv(manager, text, sizeof(text) - 1, 0);
    text[n < 0 ? 0 : n] = '\0';
    return text;
}

static void tells_the_manager(void **state)
{
    (void)state;
    hf_service_ready();
    assert_string_equal(next_message(), "READY=1");
    hf_service_status("primary of %s\nWATCHDOG=1", "main"); /* one line, whatever is in it */
    assert_string_equal(next_message(), "STATUS=primary of main WATCHDOG=1");
    hf_service_stopping();
    assert_string_equal(next_message(), "STOPPING=1");
}

static void feeds_the_watchdog_from_the_loop(void **state)
{
    (void)state;
    struct hf_loop *loop = NULL;
    assert_true(hf_ok(hf_loop_new(&loop, NULL)));
    unsetenv("WATCHDOG_USEC");
    assert_null(hf_service_watchdog(loop));
    setenv("WATCHDOG_USEC", "40000", 1);
    struct hf_timer *timer = hf_service_watchdog(loop);
    assert_non_null(timer);
    int fed = 0;
    hf_lclk end = hf_lclk_add(hf_clock_lease(), HF_SEC(10));
    while (fed < 3 && !hf_lclk_reached(hf_clock_lease(), end)) {
        fed += strcmp(next_message(), "WATCHDOG=1") == 0;
        assert_true(hf_ok(hf_loop_step(loop, HF_MS(10), NULL)));
    }
    assert_int_equal(fed, 3);
    hf_timer_free(timer);
    hf_loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_the_manager),
        cmocka_unit_test(feeds_the_watchdog_from_the_loop),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
