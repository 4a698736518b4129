package mover

import (
	"math/rand/v2"
	"testing"
	"unicode/utf8"

	. "github.com/onsi/gomega"
)

func TestEscapeName(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ in, want string }{
		"a plain name stays": {"file.txt", "file.txt"},
		"UTF-8 stays":        {"雪é", "雪é"},
		"a character before the escape range stays":       {"\U0010F77F", "\U0010F77F"},
		"a character after the escape range stays":        {"\U0010F800", "\U0010F800"},
		"each byte that is not UTF-8 is escaped":          {"a\xff\x80b", "a\U0010F7FF\U0010F780b"},
		"a character of the escape range is escaped too":  {"\U0010F7FF", "\U0010F7F4\U0010F78F\U0010F79F\U0010F7BF"},
		"the replacement character is a name like others": {"\uFFFD", "\uFFFD"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			got := escapeName(tc.in)

			g.Expect(got).To(Equal(tc.want))
			g.Expect(unescapeName(got)).To(Equal(tc.in))
		})
	}
}

func TestEscapeNameIsReversible(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	random := rand.New(rand.NewPCG(1, 2))
	alphabet := []string{"a", "\xff", "\x80", "é", "\U0010F7FF", "\U0010F780", "\xf4", "\x8f", "\x9f", "\xbf", "\uFFFD"}
	for range 20_000 {
		var name string
		for range random.IntN(8) {
			name += alphabet[random.IntN(len(alphabet))]
		}
		stored := escapeName(name)

		g.Expect(utf8.ValidString(stored)).To(BeTrue(), "%q", name)
		g.Expect(unescapeName(stored)).To(Equal(name))
	}
}

func TestPrintable(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	g.Expect(printable("dir/雪.txt")).To(Equal("dir/雪.txt"))
	g.Expect(printable("line\nbreak")).To(Equal(`"line\nbreak"`))
	g.Expect(printable("\xff")).To(Equal(`"\xff"`))
}
