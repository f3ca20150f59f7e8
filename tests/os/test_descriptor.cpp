// SPDX-License-Identifier: LGPL-2.1-or-later

#include "support.h"

#include <doctest/doctest.h>

using ringmix::os::Descriptor;
using namespace ringmix::test;

namespace {

int open_null() { return ::open("/dev/null", O_RDWR | O_CLOEXEC); }

} // namespace

TEST_CASE("a descriptor closes itself")
{
    const int fd = open_null();
    {
        const Descriptor owner(fd);
        CHECK(owner);
        CHECK(owner.get() == fd);
        CHECK(is_open(fd));
    }
    CHECK_FALSE(is_open(fd));
}

TEST_CASE("an empty descriptor holds nothing")
{
    Descriptor empty;
    CHECK_FALSE(empty);
    CHECK(empty.get() == -1);
    CHECK(empty.release() == -1);
}

TEST_CASE("moving a descriptor hands it over and closes what was held")
{
    const int first = open_null();
    const int second = open_null();
    Descriptor a(first);
    Descriptor b(second);
    b = std::move(a);
    CHECK_FALSE(is_open(second));
    CHECK(b.get() == first);
    const Descriptor c(std::move(b));
    CHECK(c.get() == first);
    CHECK(is_open(first));
}

TEST_CASE("a descriptor can be reset and released")
{
    const int first = open_null();
    const int second = open_null();
    Descriptor owner(first);
    owner.reset(second);
    CHECK_FALSE(is_open(first));
    CHECK(owner.release() == second);
    CHECK_FALSE(owner);
    CHECK(is_open(second));
    ::close(second);
}
