// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/text.h"

#include <doctest/doctest.h>
#include <string>

using namespace ringmix::core;

namespace {
std::string shown(std::string_view text, std::size_t size = 256)
{
    std::string out(size, '?');
    out.resize(printable_text(out.data(), out.size(), text));
    return out;
}
} // namespace

TEST_CASE("text: what a terminal shows is left as it is")
{
    CHECK(shown("") == "");
    CHECK(shown("aplay -D x") == "aplay -D x");
    CHECK(shown("Gr\xc3\xbc\xc3\x9f"
                "e \xe2\x99\xab \xf0\x9f\x8e\xb5") == "Gr\xc3\xbc\xc3\x9f"
                                                      "e \xe2\x99\xab \xf0\x9f\x8e\xb5");
}

TEST_CASE("text: what a terminal would obey, or does not know, is escaped")
{
    CHECK(shown("\x1b[2J") == "\\x1b[2J");
    CHECK(shown("a\nb\x7f") == "a\\x0ab\\x7f");
    CHECK(shown("\xc2\x9b"
                "31m") == "\\xc2\\x9b31m"); // CSI in two bytes
    CHECK(shown("\x9b"
                "31m") == "\\x9b31m"); // and in one
    CHECK(shown("\xe2\x99") == "\\xe2\\x99");
    CHECK(shown("\xc2\xa0") == "\xc2\xa0");
}

TEST_CASE("text: what does not fit is cut between characters")
{
    CHECK(shown("abc", 2) == "ab");
    CHECK(shown("a\x1b", 4) == "a");
    CHECK(shown("a\xc3\xbc", 2) == "a");
    CHECK(shown("a", 0) == "");
}
