// SPDX-License-Identifier: LGPL-2.1-or-later
//
// doctest_main.cpp: doctest's own code and main(), compiled once for all test programs.

#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>
