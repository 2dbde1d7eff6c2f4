/* SPDX-License-Identifier: Apache-2.0
 *
 * holdfast: the operator's command line.
 */
#include <stdio.h>

#include "coordinator/ctl/ctl.h"

int main(int argc, char **argv)
{
    return hf_ctl_main(argc, (const char *const *)argv, stdout, stderr);
}
