// SPDX-License-Identifier: LGPL-2.1-or-later

#include "core/test_hooks.h"

std::atomic<RingmixTestHook*> ringmix_test_hook{nullptr};
