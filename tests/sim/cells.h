// SPDX-License-Identifier: LGPL-2.1-or-later
//
// cells.h: what a program may add to each of some successive frames. Mostly that is one thing; where more is
// possible, the rest is kept elsewhere, so that a cell is small.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>
#include <vector>

namespace ringmix::sim {

// What one program adds to one frame.
struct Sound {
    std::uint64_t position;
    std::uint32_t version; // of the writing; 0: nothing
    std::uint32_t fade;    // 0: does not fade; otherwise a number of Score's
    bool operator==(const Sound& other) const
    {
        return position == other.position && version == other.version && fade == other.fade;
    }
};

struct Cell {
    static constexpr unsigned most = 6;
    Sound first;
    std::uint32_t more;  // where the others are; 0: nowhere
    std::uint8_t count;  // 0: nothing
    std::uint8_t before; // the same, before a stop that stands
    bool anything;       // more possibilities than are written down
    bool seam;           // the same, as long as a call stands
};

inline constexpr std::size_t least_cells = 1 << 12;

// Round and round. Memory is touched where it is used.
class CellRing {
public:
    explicit CellRing(std::size_t count) // a power of two
        : cells_(static_cast<Cell*>(std::calloc(count, sizeof(Cell)))), size_(count), more_(1)
    {
    }
    std::size_t size() const noexcept { return size_; }
    Cell& operator[](std::uint64_t frame) noexcept { return cells_.get()[frame & (size_ - 1)]; }
    const Cell& operator[](std::uint64_t frame) const noexcept { return cells_.get()[frame & (size_ - 1)]; }

    const Sound& sound(const Cell& cell, unsigned number) const noexcept
    {
        return number == 0 ? cell.first : more_[cell.more][number - 1];
    }
    // All of them, in memory of the caller's.
    std::span<Sound> copy(const Cell& cell, std::array<Sound, Cell::most>& out) const
    {
        for (unsigned i = 0; i < cell.count; i++)
            out[i] = sound(cell, i);
        return std::span(out).first(cell.count);
    }
    void empty(Cell& cell)
    {
        if (cell.more != 0)
            free_.push_back(cell.more);
        cell.more = cell.count = 0;
        cell.anything = cell.seam = false;
    }
    void add(Cell& cell, const Sound& sound)
    {
        if (cell.count == Cell::most)
            cell.anything = true;
        else if (cell.count++ == 0)
            cell.first = sound;
        else
            room_in(cell)[cell.count - 2u] = sound;
    }

private:
    using More = std::array<Sound, Cell::most - 1>;
    struct Free {
        void operator()(Cell* cells) const noexcept { std::free(cells); }
    };
    More& room_in(Cell& cell)
    {
        if (cell.more == 0 && free_.empty()) {
            cell.more = static_cast<std::uint32_t>(more_.size());
            more_.emplace_back();
        } else if (cell.more == 0) {
            cell.more = free_.back();
            free_.pop_back();
        }
        return more_[cell.more];
    }

    std::unique_ptr<Cell, Free> cells_;
    std::size_t size_;
    std::vector<More> more_;
    std::vector<std::uint32_t> free_; // of `more_`
};

} // namespace ringmix::sim
