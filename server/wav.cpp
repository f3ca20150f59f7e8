// SPDX-License-Identifier: LGPL-2.1-or-later

#include "server/wav.h"

#include <cerrno>
#include <fcntl.h>
#include <string_view>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

namespace ringmix::server {

namespace {
constexpr std::uint32_t ds64_bytes = 28;
constexpr std::uint16_t format_pcm = 1;
constexpr std::uint16_t format_float = 3;
constexpr std::uint16_t format_extensible = 0xfffe;
// KSDATAFORMAT_SUBTYPE_PCM and _IEEE_FLOAT behind their first two bytes, which are the format's number.
constexpr std::uint8_t subtype_rest[] = {0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xaa, 0, 0x38, 0x9b, 0x71};

class Bytes {
public:
    void tag(std::string_view four)
    {
        for (const char c : four)
            bytes_.push_back(static_cast<std::byte>(c));
    }
    void number(std::uint64_t value, unsigned bytes)
    {
        for (unsigned i = 0; i < bytes; i++)
            bytes_.push_back(static_cast<std::byte>(value >> (8 * i)));
    }
    void zeros(unsigned bytes) { bytes_.resize(bytes_.size() + bytes); }
    std::vector<std::byte> take() { return std::move(bytes_); }

private:
    std::vector<std::byte> bytes_;
};

bool extensible(const WavShape& shape) noexcept { return shape.channels > 2 || (shape.bits > 16 && !shape.floats); }

// Formats other than plain PCM say how many bytes they add,
std::uint32_t format_bytes(const WavShape& shape) noexcept { return extensible(shape) ? 40 : shape.floats ? 18 : 16; }

// and what is not PCM has a chunk "fact" with the number of frames.
std::uint32_t header_size(const WavShape& shape) noexcept
{
    return 12 + 8 + ds64_bytes + 8 + format_bytes(shape) + (shape.floats ? 12 : 0) + 8;
}

void put_format(Bytes& out, const WavShape& shape)
{
    const std::uint16_t format = shape.floats ? format_float : format_pcm;
    out.tag("fmt ");
    out.number(format_bytes(shape), 4);
    out.number(extensible(shape) ? format_extensible : format, 2);
    out.number(shape.channels, 2);
    out.number(shape.rate, 4);
    out.number(std::uint64_t{shape.rate} * shape.frame_bytes(), 4);
    out.number(shape.frame_bytes(), 2);
    out.number(shape.bits, 2);
    if (!extensible(shape)) {
        out.zeros(format_bytes(shape) - 16); // no bytes follow
        return;
    }
    out.number(22, 2);         // bytes that follow
    out.number(shape.bits, 2); // valid bits
    out.number(wav_channel_mask(shape), 4);
    out.number(format, 2);
    for (const std::uint8_t byte : subtype_rest)
        out.number(byte, 1);
}

// The bit of an ALSA channel position in a WAV file's channel mask, -1: none.
int mask_bit(std::uint8_t position) noexcept
{
    switch (position) {
    case 2: // MONO
    case 7: // FC
        return 2;
    case 3: // FL
        return 0;
    case 4: // FR
        return 1;
    case 8: // LFE
        return 3;
    case 5: // RL
        return 4;
    case 6: // RR
        return 5;
    case 12: // FLC
        return 6;
    case 13: // FRC
        return 7;
    case 11: // RC
        return 8;
    case 9: // SL
        return 9;
    case 10: // SR
        return 10;
    default:
        return -1;
    }
}

// Writes all of `bytes` at `offset`; returns what could be written, or -errno if nothing could.
std::int64_t write_at(int fd, std::span<const std::byte> bytes, std::uint64_t offset) noexcept
{
    std::size_t done = 0;
    while (done < bytes.size()) {
        const ssize_t n = ::pwrite(fd, bytes.data() + done, bytes.size() - done, static_cast<off_t>(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            if (done > 0)
                break;
            return n < 0 ? -errno : -EIO;
        }
        done += static_cast<std::size_t>(n);
    }
    return static_cast<std::int64_t>(done);
}

[[noreturn]] void fail(int error, const std::string& path, const char* why)
{
    throw std::system_error(error, std::generic_category(), "cannot write the recording " + path + why);
}
} // namespace

std::uint32_t wav_channel_mask(const WavShape& shape) noexcept
{
    std::uint32_t mask = 0;
    int last = -1;
    for (std::uint32_t c = 0; c < shape.channels && c < abi::max_channels; c++) {
        const int bit = mask_bit(shape.chmap[c]);
        if (bit <= last)
            return 0;
        mask |= 1u << bit;
        last = bit;
    }
    return mask;
}

std::vector<std::byte> wav_header(const WavShape& shape, std::uint64_t data_bytes, std::uint64_t limit)
{
    const std::uint64_t riff_bytes = header_size(shape) - 8 + data_bytes + (data_bytes & 1);
    const bool big = riff_bytes >= limit;
    Bytes out;
    out.tag(big ? "RF64" : "RIFF");
    out.number(big ? 0xffffffff : riff_bytes, 4);
    out.tag("WAVE");
    out.tag(big ? "ds64" : "JUNK");
    out.number(ds64_bytes, 4);
    if (big) {
        out.number(riff_bytes, 8);
        out.number(data_bytes, 8);
        out.number(data_bytes / shape.frame_bytes(), 8);
        out.number(0, 4); // no table of other chunks
    } else {
        out.zeros(ds64_bytes);
    }
    put_format(out, shape);
    if (shape.floats) {
        out.tag("fact");
        out.number(4, 4);
        out.number(big ? 0xffffffff : data_bytes / shape.frame_bytes(), 4);
    }
    out.tag("data");
    out.number(big ? 0xffffffff : data_bytes, 4);
    return out.take();
}

WavFile::WavFile(const std::string& path, const WavShape& shape, bool append, std::uint64_t limit)
    : shape_(shape), limit_(limit), header_bytes_(header_size(shape))
{
    // Not truncated before it is known to be a file of the right kind; a FIFO must not block here.
    fd_.reset(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0666));
    struct stat status;
    if (!fd_ || ::fstat(fd_.get(), &status) < 0)
        fail(errno, path, "");
    if (!S_ISREG(status.st_mode))
        fail(EINVAL, path, ": it is no regular file (use '-' for raw samples on stdout)");
    const auto size = static_cast<std::uint64_t>(status.st_size);
    if (append && size >= header_bytes_)
        data_bytes_ = (size - header_bytes_) / shape_.frame_bytes() * shape_.frame_bytes();
    else if (::ftruncate(fd_.get(), 0) < 0)
        fail(errno, path, "");
    if (const int error = refresh(); error < 0)
        fail(-error, path, "");
}

WavFile::~WavFile() { finish(); }

std::int64_t WavFile::write(std::span<const std::byte> samples) noexcept
{
    const std::int64_t n = write_at(fd_.get(), samples, header_bytes_ + data_bytes_);
    if (n > 0)
        data_bytes_ += static_cast<std::uint64_t>(n);
    return n;
}

int WavFile::refresh() noexcept
try {
    const std::uint64_t whole = frames() * shape_.frame_bytes();
    // Chunks are padded to even sizes; the next write goes over the padding. On a full disk it is
    // left out: readers do without, but not without the header.
    const std::byte zero{};
    if ((whole & 1) != 0 && whole == data_bytes_)
        write_at(fd_.get(), {&zero, 1}, header_bytes_ + whole);
    const std::vector<std::byte> header = wav_header(shape_, whole, limit_);
    const std::int64_t n = write_at(fd_.get(), header, 0);
    return n < 0 ? static_cast<int>(n) : n == static_cast<std::int64_t>(header.size()) ? 0 : -EIO;
} catch (const std::bad_alloc&) {
    return -ENOMEM;
}

int WavFile::finish() noexcept
{
    data_bytes_ = frames() * shape_.frame_bytes();
    const int cut = ::ftruncate(fd_.get(), static_cast<off_t>(header_bytes_ + data_bytes_)) < 0 ? -errno : 0;
    const int header = refresh();
    return cut < 0 ? cut : header;
}

} // namespace ringmix::server
