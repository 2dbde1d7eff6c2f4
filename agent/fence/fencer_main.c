/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/fence/fencer.h"

int main(int argc, char **argv)
{
    return hf_fencer_main(argc, argv);
}
