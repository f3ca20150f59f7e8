// SPDX-License-Identifier: LGPL-2.1-or-later
//
// run_target.h: what main() of a fuzz target does where libFuzzer does not bring its own.

#pragma once

#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

// Runs the files that the arguments name; without any, `random_round` a fixed number of times. Returns
// main()'s status.
template <class Round> int run_target(int argc, char** argv, Round random_round)
{
    constexpr int rounds = 20000;
    for (int i = 1; i < argc; ++i) {
        std::ifstream file(argv[i], std::ios::binary);
        if (!file) {
            std::fprintf(stderr, "cannot read %s\n", argv[i]);
            return 1;
        }
        const std::vector<char> input{std::istreambuf_iterator<char>(file), {}};
        LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(input.data()), input.size());
    }
    for (int round = 0; argc == 1 && round < rounds; ++round)
        random_round();
    return 0;
}
