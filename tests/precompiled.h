// SPDX-License-Identifier: LGPL-2.1-or-later
//
// precompiled.h: what nearly every test includes, parsed once for each program. A test includes what it uses all the
// same.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>
