// SPDX-License-Identifier: LGPL-2.1-or-later

#include "server/log.h"

#include "captured.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

using namespace ringmix::server;
using ringmix::test::Stderr;

TEST_CASE("log: nothing that a terminal would obey")
{
    const Stderr captured;
    log_line(LogLevel::info, "client \x1b[2J\x9b\xc3\xbc is here");
    CHECK(captured.text() == "ringmixd: client \\x1b[2J\\x9b\xc3\xbc is here\n");
}

TEST_CASE("log: a reader that has stopped does not stop the server, and is told what it has missed")
{
    int ends[2];
    REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
    const int kept = dup(STDERR_FILENO);
    dup2(ends[1], STDERR_FILENO);
    for (int i = 0; i < 2000; i++) // more than a pipe takes; without the look before it this never ends
        log_line(LogLevel::warning, std::string(100, 'x'));
    std::string text(1 << 20, '\0');
    const ssize_t first = read(ends[0], text.data(), text.size());
    log_line(LogLevel::warning, "after it");
    const ssize_t then = read(ends[0], text.data(), text.size());
    dup2(kept, STDERR_FILENO);
    close(kept);
    close(ends[0]);
    close(ends[1]);
    CHECK(first > 0);
    REQUIRE(then > 0);
    text.resize(static_cast<std::size_t>(then));
    CHECK_MESSAGE(text.find("lines were lost here") != std::string::npos, text);
    CHECK_MESSAGE(text.ends_with("ringmixd: warning: after it\n"), text);
}

TEST_CASE("log: lines that strangers cause are limited, and what is left out is counted")
{
    constexpr std::int64_t second = 1'000'000'000;
    LineLimit limit;
    std::uint64_t left_out = 0;
    for (int i = 0; i < 10; i++)
        REQUIRE(limit.pass(second, left_out));
    for (int i = 0; i < 500; i++)
        REQUIRE_FALSE(limit.pass(2 * second, left_out));
    CHECK(left_out == 0);
    CHECK(limit.pass(12 * second, left_out));
    CHECK(left_out == 500);
    CHECK(limit.pass(12 * second, left_out));
    CHECK(left_out == 0);
}
