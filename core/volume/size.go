package volume

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// unit is a binary multiple: units stand for powers of 1024, whatever their
// spelling, since volumes are made of blocks.
type unit struct {
	letter string
	bytes  int64
}

func units() []unit {
	return []unit{{"P", 1 << 50}, {"T", 1 << 40}, {"G", 1 << 30}, {"M", 1 << 20}, {"K", 1 << 10}}
}

// ParseSize reads a size: a whole number of bytes, or one followed by K, M, G,
// T or P, each also as KiB, MiB, …, which mean the same: "10G" is 10 GiB. There
// is no fraction, sign or space: what is read is exact or refused.
func ParseSize(text string) (int64, error) {
	digits, multiple := text, int64(1)
	for _, u := range units() {
		for _, suffix := range []string{u.letter, u.letter + "iB"} {
			if rest, ok := strings.CutSuffix(text, suffix); ok {
				digits, multiple = rest, u.bytes
			}
		}
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil || strings.HasPrefix(digits, "+") {
		return 0, &Error{
			Kind: ErrInvalidSize,
			What: fmt.Sprintf("size %q is not a whole number of bytes or of KiB, MiB, GiB, TiB or PiB", text),
			Fix:  "write it as in 10GiB",
		}
	}
	if n > math.MaxInt64/uint64(multiple) {
		return 0, &Error{
			Kind: ErrInvalidSize,
			What: fmt.Sprintf("size %q is larger than %s, the largest volume", text, FormatSize(sizeMax)),
			Fix:  "ask for less",
		}
	}
	return int64(n) * multiple, nil
}

// FormatSize writes a size exactly, in the largest unit that has no remainder.
// ParseSize reads it back.
func FormatSize(bytes int64) string {
	for _, u := range units() {
		if bytes != 0 && bytes%u.bytes == 0 {
			return strconv.FormatInt(bytes/u.bytes, 10) + u.letter + "iB"
		}
	}
	return strconv.FormatInt(bytes, 10)
}

// RoundSize writes a size for people, rounded down to a tenth of its unit:
// "3 GiB", "1.5 TiB". What is free is never made to look larger than it is.
func RoundSize(bytes int64) string {
	for _, u := range units() {
		if bytes < u.bytes {
			continue
		}
		whole, tenth := bytes/u.bytes, bytes%u.bytes*10/u.bytes
		if tenth == 0 {
			return fmt.Sprintf("%d %siB", whole, u.letter)
		}
		return fmt.Sprintf("%d.%d %siB", whole, tenth, u.letter)
	}
	return fmt.Sprintf("%d bytes", max(bytes, 0))
}
