// SPDX-License-Identifier: LGPL-2.1-or-later
//
// os/memory.h for the simulator: memory files are blocks of this process' memory, a mapping of one is the block.

#include "os/memory.h"

#include "os/error.h"
#include "tests/sim/card.h"

#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

namespace ringmix::os {

namespace {

// What a mapping keeps alive: found again by its address.
std::map<std::byte*, std::pair<std::shared_ptr<sim::Block>, unsigned>> mapped;

} // namespace

Mapping::Mapping(Mapping&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0))
{
}

Mapping& Mapping::operator=(Mapping&& other) noexcept
{
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
}

Mapping::~Mapping()
{
    if (data_ == nullptr)
        return;
    const auto found = mapped.find(data_);
    if (found == mapped.end())
        sim::fail("unmaps what is not mapped");
    if (--found->second.second == 0)
        mapped.erase(found);
}

Mapping Mapping::shared(int fd, std::size_t bytes, std::uint64_t offset, bool, const char* what)
{
    auto block = sim::world->object_as<sim::Block>(fd);
    if (const auto card = sim::world->object_as<sim::Card>(fd))
        block = card->block();
    if (!block || offset != 0)
        fail(EBADF, what);
    if (bytes > block->bytes)
        fail(EINVAL, what);
    auto& entry = mapped[block->data];
    entry.first = block;
    entry.second++;
    return {block->data, bytes};
}

Mapping Mapping::sparse(int fd, std::size_t bytes, const char* what) { return shared(fd, bytes, 0, true, what); }

Mapping Mapping::wiped_on_fork()
{
    const auto block = std::make_shared<sim::Block>("fork mark", 64);
    mapped[block->data] = {block, 1};
    return {block->data, 64};
}

Descriptor make_sealed_memory(const char* name, std::size_t bytes)
{
    auto block = std::make_shared<sim::Block>(name, bytes);
    sim::machine().blocks[name] = block;
    if (block->name == "ringmix-board")
        sim::machine().board = block.get();
    return Descriptor(sim::world->open_fd(std::move(block)));
}

void provide(int, std::uint64_t, std::uint64_t) {}

void give_back(int fd, std::uint64_t offset, std::uint64_t bytes) noexcept
{
    if (const auto block = sim::world->object_as<sim::Block>(fd); block && offset + bytes <= block->bytes)
        std::memset(block->data + offset, 0, bytes);
}

std::size_t page_bytes() noexcept { return 4096; }

void require_sealed_memory(int fd, std::size_t bytes, const char* what)
{
    const auto block = sim::world->object_as<sim::Block>(fd);
    if (!block || block->bytes < bytes)
        fail(EPROTO, what);
}

void touch(std::byte*, std::size_t) noexcept {}
std::size_t touch_own_code() noexcept { return 0; }

} // namespace ringmix::os
