// Runs a verilated design on a file of frames: beats in, beats out, and the cycle of every handover.
//
// design.h, written beside it, names the ports and gives the shape of the data. Usage:
//   simulate FRAMES IN_CODES OUT_CODES IN_CYCLES OUT_CYCLES STALL_IN STALL_OUT SEED SPACING PATIENCE [LOADS]
// IN_CODES holds FRAMES * N_IN elements of type InElement, OUT_CODES gets FRAMES * N_OUT of type OutElement; the two cycle
// files get one int64 a beat. LOADS holds records of four int64: number of begun frames to wait for, address, data, whether
// it is a commit of the weights before it. Prints "progress FRAMES" now and then, and ends with "done ..." or "stuck ...".
//
// Cycle c is the c-th rising clock edge after reset. A beat moves at an edge before which valid and ready are both high.

#include <chrono>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "Vdut.h"
#include "design.h"
#include "verilated.h"

namespace {

constexpr unsigned ceil_divide(unsigned a, unsigned b) { return (a + b - 1) / b; }
constexpr unsigned BEATS_IN = ceil_divide(N_IN, LANES_IN);
constexpr unsigned BEATS_OUT = ceil_divide(N_OUT, LANES_OUT);
constexpr int RESET_CYCLES = 4;
constexpr int DRAIN_CYCLES = 16;  // after the last expected beat: nothing more may come

// The bits of a beat in 64-bit words, lane 0 lowest; any width of port is copied from and to them.
template <unsigned BITS>
struct Beat {
    static constexpr unsigned WORDS = ceil_divide(BITS, 64);
    uint64_t words[WORDS] = {};

    void put(unsigned position, unsigned bits, uint64_t value) {
        const uint64_t mask = bits == 64 ? ~uint64_t{0} : (uint64_t{1} << bits) - 1;
        value &= mask;
        const unsigned word = position / 64, shift = position % 64;
        words[word] = (words[word] & ~(mask << shift)) | (value << shift);
        if (shift + bits > 64) words[word + 1] = (words[word + 1] & ~(mask >> (64 - shift))) | (value >> (64 - shift));
    }
    int64_t get(unsigned position, unsigned bits, bool is_signed) const {
        const unsigned word = position / 64, shift = position % 64;
        uint64_t value = words[word] >> shift;
        if (shift + bits > 64) value |= words[word + 1] << (64 - shift);
        if (bits == 64) return static_cast<int64_t>(value);
        value &= (uint64_t{1} << bits) - 1;
        const uint64_t sign = uint64_t{1} << (bits - 1);
        return is_signed ? static_cast<int64_t>((value ^ sign) - sign) : static_cast<int64_t>(value);
    }
    void fill() {
        std::memset(words, 0xff, sizeof words);
        if (BITS % 64) words[WORDS - 1] &= (uint64_t{1} << (BITS % 64)) - 1;
    }

    // Ports of up to 64 bits are integers, wider ones arrays of 32-bit words.
    template <class Port>
    void drive(Port& port) const { port = static_cast<Port>(words[0]); }
    template <std::size_t N>
    void drive(VlWide<N>& port) const { std::memcpy(port.data(), words, N * 4); }
    template <class Port>
    void sample(const Port& port) { words[0] = port; }
    template <std::size_t N>
    void sample(const VlWide<N>& port) { std::memcpy(words, port.data(), N * 4); }
};

using InBeat = Beat<LANES_IN * IN_SLOT>;
using OutBeat = Beat<LANES_OUT * OUT_SLOT>;

// Frames to beats. Lanes behind the last element of a frame are all ones: the design must not care.
class Source {
   public:
    Source(const char* path, uint64_t frames) : file_(open(path)), frames_(frames), elements_(N_IN) {}

    bool empty() const { return frame_ == frames_; }
    uint64_t frame() const { return frame_; }
    bool first() const { return beat_ == 0; }
    bool last() const { return beat_ == BEATS_IN - 1; }

    const InBeat& load() {
        if (first() && std::fread(elements_.data(), sizeof(InElement), N_IN, file_) != N_IN) {
            std::printf("failed reading the input codes\n");
            std::exit(4);
        }
        const unsigned begin = beat_ * LANES_IN;
        const unsigned lanes = N_IN - begin < LANES_IN ? N_IN - begin : LANES_IN;
        if (lanes < LANES_IN) data_.fill();
        if (IN_SLOT == 8 * sizeof(InElement)) {
            std::memcpy(data_.words, &elements_[begin], lanes * sizeof(InElement));
        } else {
            for (unsigned lane = 0; lane < lanes; ++lane)
                data_.put(lane * IN_SLOT, IN_SLOT, static_cast<uint64_t>(elements_[begin + lane]));
        }
        return data_;
    }
    void advance() {
        if (++beat_ == BEATS_IN) {
            beat_ = 0;
            ++frame_;
        }
    }

   private:
    static std::FILE* open(const char* path) {
        std::FILE* file = std::fopen(path, "rb");
        if (!file) {
            std::printf("failed opening %s\n", path);
            std::exit(4);
        }
        return file;
    }
    std::FILE* file_;
    uint64_t frames_, frame_ = 0;
    unsigned beat_ = 0;
    std::vector<InElement> elements_;
    InBeat data_;
};

// A file of equal elements, written in blocks.
template <class T>
class Writer {
   public:
    explicit Writer(const char* path) : file_(std::fopen(path, "wb")) {
        if (!file_) {
            std::printf("failed opening %s\n", path);
            std::exit(4);
        }
        std::setvbuf(file_, nullptr, _IOFBF, 1 << 20);
    }
    void write(const T* values, std::size_t count) {
        if (std::fwrite(values, sizeof(T), count, file_) != count) {
            std::printf("failed writing results: the disk may be full\n");
            std::exit(4);
        }
    }
    void close() {
        if (std::fclose(file_) != 0) {
            std::printf("failed writing results: the disk may be full\n");
            std::exit(4);
        }
    }

   private:
    std::FILE* file_;
};

// Says yes with a given probability. xorshift64*, Vigna 2016: the same stalls on every machine.
class Stall {
   public:
    Stall(double probability, uint64_t seed)
        : threshold_(static_cast<uint64_t>(probability * 4294967296.0)), state_(seed * 2 + 1) {
        for (int i = 0; i < 16; ++i) next();
    }
    bool operator()() { return threshold_ != 0 && next() < threshold_; }

   private:
    uint64_t next() {
        state_ ^= state_ >> 12;
        state_ ^= state_ << 25;
        state_ ^= state_ >> 27;
        return (state_ * UINT64_C(2685821657736338717)) >> 32;
    }
    uint64_t threshold_, state_;
};

// Writes to the port that loads weights, one after the other; says how many frames had begun at each commit.
class Loader {
   public:
    explicit Loader(const char* path) {
        std::FILE* file = path ? std::fopen(path, "rb") : nullptr;
        int64_t record[4];
        while (file && std::fread(record, sizeof record, 1, file) == 1) records_.insert(records_.end(), record, record + 4);
        if (file) std::fclose(file);
    }
    bool offers(int64_t begun) const { return next_ < records_.size() && records_[next_] <= begun; }
    int64_t field(unsigned index) const { return records_[next_ + index]; }
    void taken(int64_t begun) {
        if (field(3)) commits_.push_back(begun);
        next_ += 4;
    }
    const std::vector<int64_t>& commits() const { return commits_; }

   private:
    std::vector<int64_t> records_, commits_;
    std::size_t next_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
    if (argc != 11 && argc != 12) {
        std::printf("failed: ten or eleven arguments are needed\n");
        return 4;
    }
    const uint64_t frames = std::strtoull(argv[1], nullptr, 10);
    Source source(argv[2], frames);
    Writer<OutElement> out_codes(argv[3]);
    Writer<int64_t> in_cycles(argv[4]), out_cycles(argv[5]);
    const uint64_t seed = std::strtoull(argv[8], nullptr, 10);
    Stall stall_in(std::atof(argv[6]), 2 * seed + 1), stall_out(std::atof(argv[7]), 2 * seed + 2);
    const int64_t spacing = std::strtoll(argv[9], nullptr, 10);
    const int64_t patience = std::strtoll(argv[10], nullptr, 10);

    Loader loader(argc > 11 ? argv[11] : nullptr);

    VerilatedContext context;
    context.randReset(2);  // registers without reset or initial value start at random, as nothing may depend on them
    context.randSeed(static_cast<int>(seed % 0x7fffffff) + 1);
    Vdut dut{&context};

    DUT_RESET = RESET_ACTIVE;
    DUT_IN_VALID = 0;
    DUT_SET_IN_LAST(0);
    DUT_SET_OUT_READY(0);
    DUT_SET_LOAD_VALID(0);
    DUT_SET_LOAD_COMMIT(0);
    DUT_SET_LOAD_ADDRESS(0);
    DUT_SET_LOAD_DATA(0);
    for (int i = 0; i < RESET_CYCLES; ++i) {
        DUT_CLOCK = 0;
        dut.eval_step();
        DUT_CLOCK = 1;
        dut.eval_step();
    }
    DUT_RESET = !RESET_ACTIVE;

    std::vector<OutElement> result(N_OUT);
    OutBeat beat;
    unsigned out_beat = 0;
    uint64_t beats_in = 0, frames_out = 0, surplus = 0, last_wrong = 0, flagged = 0;
    bool presenting = false, flag = false;
    int64_t moved = 0, cycle = 0, ending = -1;
    auto reported = std::chrono::steady_clock::now();

    for (;; ++cycle) {
        // Once valid is high it stays until the beat is accepted.
        if (!presenting && !source.empty() && !(source.first() && cycle < static_cast<int64_t>(source.frame()) * spacing) &&
            !stall_in()) {
            source.load().drive(DUT_IN_DATA);
            DUT_SET_IN_LAST(source.last());
            presenting = true;
        }
        const bool out_ready = ending >= 0 || !stall_out();
        DUT_IN_VALID = presenting;
        DUT_SET_OUT_READY(out_ready);
        const int64_t begun = static_cast<int64_t>((beats_in + BEATS_IN - 1) / BEATS_IN);
        const bool loading = HAS_LOAD && loader.offers(begun);
        DUT_SET_LOAD_VALID(loading);
        if (loading) {
            DUT_SET_LOAD_ADDRESS(loader.field(1));
            DUT_SET_LOAD_DATA(loader.field(2));
            DUT_SET_LOAD_COMMIT(loader.field(3) != 0);
        }
        DUT_CLOCK = 0;
        dut.eval_step();

        const bool in_moves = presenting && DUT_IN_READY;
        // A frame that begins at this very edge is one of those before.
        if (loading && DUT_LOAD_READY) loader.taken(begun + (in_moves && source.first()));
        if (DUT_OUT_VALID && out_ready) {
            moved = cycle;
            if (frames_out == frames) {
                ++surplus;
            } else {
                beat.sample(DUT_OUT_DATA);
                const bool last = out_beat == BEATS_OUT - 1;
                const unsigned begin = out_beat * LANES_OUT;
                const unsigned lanes = last ? N_OUT - begin : LANES_OUT;
                for (unsigned lane = 0; lane < lanes; ++lane)
                    result[begin + lane] = static_cast<OutElement>(beat.get(lane * OUT_SLOT, OUT_SLOT, OUT_SIGNED));
                if (HAS_OUT_LAST && last != static_cast<bool>(DUT_OUT_LAST)) ++last_wrong;
                flag |= static_cast<bool>(DUT_OUT_USER);
                out_cycles.write(&cycle, 1);
                if (last) {
                    out_codes.write(result.data(), N_OUT);
                    flagged += flag;
                    flag = false;
                    ++frames_out;
                    out_beat = 0;
                } else {
                    ++out_beat;
                }
            }
        }
        DUT_CLOCK = 1;
        dut.eval_step();

        if (in_moves) {
            in_cycles.write(&cycle, 1);
            ++beats_in;
            source.advance();
            presenting = false;
            moved = cycle;
        }
        if (frames_out == frames && source.empty()) {
            if (ending < 0) ending = cycle;
            if (cycle >= ending + DRAIN_CYCLES) break;
        } else if (cycle - moved > patience) {
            std::printf("stuck %" PRIu64 " %" PRIu64 " %" PRId64 "\n", beats_in, frames_out * BEATS_OUT + out_beat, moved);
            return 3;
        }
        if ((cycle & 1023) == 0) {
            const auto now = std::chrono::steady_clock::now();
            if (now - reported > std::chrono::milliseconds(200)) {
                reported = now;
                std::printf("progress %" PRIu64 "\n", frames_out);
                std::fflush(stdout);
            }
        }
    }
    out_codes.close();
    in_cycles.close();
    out_cycles.close();
    std::printf("done %" PRId64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %d", ending + 1, surplus, last_wrong, flagged,
                static_cast<int>(DUT_ERROR));
    for (const int64_t frames_before : loader.commits()) std::printf(" %" PRId64, frames_before);
    std::printf("\n");
    dut.final();
    return 0;
}
