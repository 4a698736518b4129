package jsonbound

import (
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var generous = Limits{MaxBytes: 1 << 20, MaxStringBytes: 1 << 16, MaxDepth: 100, MaxMemoryBytes: 1 << 24}

// document is a struct that costs much more than its shortest text.
type document struct {
	Name    string            `json:"name"`
	Labels  map[string]string `json:"labels"`
	Lists   [][]string        `json:"lists"`
	Any     any               `json:"any"`
	Padding [100]int64        `json:"-"`
}

func TestDecodeTakesWhatEncodingJSONTakes(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"an object":                       ` {"name":"a\"\\","labels":{"k":"v"},"lists":[["x"],[]],"any":{"b":[1,null]}} ` + "\n",
		"an object with the same key":     `{"name":"a","name":"b"}`,
		"an object with an unknown field": `{"else":[{}]}`,
		"null":                            `null`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			var got, want document
			g.Expect(json.Unmarshal([]byte(text), &want)).To(Succeed())

			g.Expect(Decode(iotest.OneByteReader(strings.NewReader(text)), &got, generous)).To(Succeed())

			g.Expect(got).To(Equal(want))
		})
	}
}

func TestDecodeLists(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]document{
		`null`:                          nil,
		`[]`:                            {},
		" [ {\"name\":\"a\"} , {} ] \n": {{Name: "a"}, {}},
		`[null]`:                        {{}},
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			got := []document{{Name: "before"}}

			g.Expect(Decode(strings.NewReader(text), &got, generous)).To(Succeed())

			g.Expect(got).To(Equal(want))
		})
	}
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	broken := errors.New("connection broke")
	for name, tc := range map[string]struct {
		text   string
		reader io.Reader // instead of text
		into   any
		limits Limits
		want   error  // nil means any
		text2  string // what the error says
	}{
		"nothing":                        {text: "", into: &document{}, want: io.ErrUnexpectedEOF},
		"nothing where a list should be": {text: "", into: &[]document{}, want: io.ErrUnexpectedEOF},
		"half an object":                 {text: `{"name":`, into: &document{}, want: io.ErrUnexpectedEOF},
		"half a list":                    {text: `[{}`, into: &[]document{}, want: io.ErrUnexpectedEOF},
		"two documents":                  {text: "{}\n{}", into: &document{}, text2: "more than one document"},
		"two lists":                      {text: "[]\n[]", into: &[]document{}, text2: "more than one document"},
		"rubbish after a list":           {text: "[]x", into: &[]document{}, text2: "invalid character"},
		"a list with a hole":             {text: "[{},]", into: &[]document{}, text2: "entry 1"},
		"a list without commas":          {text: "[{} {}]", into: &[]document{}, text2: "entry 1"},
		"an object instead of a list":    {text: `{"a":1}`, into: &[]document{}, text2: "not a list"},
		"a string instead of a list":     {text: `"x"`, into: &[]document{}, text2: "not a list"},
		"a list instead of an object":    {text: `[]`, into: &document{}, text2: "cannot unmarshal array"},
		"an entry of another type":       {text: `[{},{"name":1}]`, into: &[]document{}, text2: "entry 1"},
		"a connection that breaks":       {reader: io.MultiReader(strings.NewReader("[{"), iotest.ErrReader(broken)), into: &[]document{}, want: broken},
		"more bytes than allowed":        {text: strings.Repeat(" ", 101), into: &document{}, limits: Limits{MaxBytes: 100}, want: ErrTooLarge, text2: "more than 100 bytes"},
		"spaces without an end":          {text: "{" + strings.Repeat(" \n", maxSpaces), into: &document{}, want: ErrTooLarge, text2: "spaces in a row"},
		"spaces at the end":              {text: "[]" + strings.Repeat("\t", maxSpaces+1), into: &[]document{}, want: ErrTooLarge, text2: "spaces in a row"},
		"a string that is too long":      {text: `{"name":"` + strings.Repeat("x", 101), into: &document{}, limits: Limits{MaxStringBytes: 100}, want: ErrTooLarge, text2: "a string of more than 100 bytes"},
		"a key that is too long":         {text: `{"` + strings.Repeat("x", 101), into: &document{}, limits: Limits{MaxStringBytes: 100}, want: ErrTooLarge},
		"escapes in a long string":       {text: `{"name":"` + strings.Repeat(`\"`, 51), into: &document{}, limits: Limits{MaxStringBytes: 100}, want: ErrTooLarge},
		"deep lists":                     {text: `{"any":` + strings.Repeat("[", 11), into: &document{}, limits: Limits{MaxDepth: 10}, want: ErrTooLarge, text2: "deeper than 10 levels"},
		"deep objects":                   {text: strings.Repeat(`{"any":`, 11), into: &document{}, limits: Limits{MaxDepth: 10}, want: ErrTooLarge},
		"many values":                    {text: `{"lists":[` + strings.Repeat("[],", 1000), into: &document{}, limits: Limits{MaxMemoryBytes: 10_000}, want: ErrTooLarge, text2: "10000 bytes of memory"},
		"many expensive entries":         {text: "[" + strings.Repeat("{},", 50), into: &[]document{}, limits: Limits{MaxMemoryBytes: 30_000}, want: ErrTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			reader := tc.reader
			if reader == nil {
				reader = strings.NewReader(tc.text)
			}

			err := Decode(reader, tc.into, withGenerous(tc.limits))

			g.Expect(err).To(HaveOccurred())
			if tc.want != nil {
				g.Expect(err).To(MatchError(tc.want))
			}
			g.Expect(err).To(MatchError(ContainSubstring(tc.text2)))
		})
	}
}

func withGenerous(l Limits) Limits {
	l.MaxBytes, l.MaxStringBytes = orElse(l.MaxBytes, generous.MaxBytes), orElse(l.MaxStringBytes, generous.MaxStringBytes)
	l.MaxMemoryBytes = orElse(l.MaxMemoryBytes, generous.MaxMemoryBytes)
	l.MaxDepth = int(orElse(int64(l.MaxDepth), int64(generous.MaxDepth)))
	return l
}

func orElse(a, b int64) int64 {
	if a == 0 {
		return b
	}
	return a
}

func TestCheckLooksAtStructureOnly(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)

	g.Expect(Check([]byte(`{"a":"[[[[[[[[[[[[{{{{{{,,,,,,"}`), Limits{MaxBytes: 100, MaxStringBytes: 50, MaxDepth: 1, MaxMemoryBytes: 200})).To(Succeed())
	g.Expect(Check([]byte("not JSON"), generous)).To(Succeed())
	g.Expect(Check([]byte("[[]]"), Limits{MaxBytes: 100, MaxStringBytes: 50, MaxDepth: 1, MaxMemoryBytes: 200})).To(MatchError(ErrTooLarge))
}

// repeated is a reader of a text that is as long as an attacker likes. It counts
// what has been taken of it.
type repeated struct {
	text  string
	taken int64
}

func (r *repeated) Read(p []byte) (int, error) {
	n := 0
	for n+len(r.text) <= len(p) {
		n += copy(p[n:], r.text)
	}
	if n == 0 {
		n = copy(p, r.text)
	}
	r.taken += int64(n)
	return n, nil
}

// Each attack is a document without an end. The memory is what the test allocates
// in all, also what is garbage at once.
func TestMemoryIsBounded(t *testing.T) {
	limits := Limits{MaxBytes: 16 << 20, MaxStringBytes: 1 << 20, MaxDepth: 1000, MaxMemoryBytes: 8 << 20}
	for name, tc := range map[string]struct {
		begin, repeat string
		into          func() any
	}{
		"a list of empty structs":   {"[", "{},", func() any { return &[]document{} }},
		"a list of empty lists":     {`{"lists":[`, "[],", func() any { return &document{} }},
		"a map that never ends":     {`{"labels":{`, `"":"",`, func() any { return &document{} }},
		"one string":                {`{"name":"`, "x", func() any { return &document{} }},
		"one string in an entry":    {`[{"name":"`, "x", func() any { return &[]document{} }},
		"one key":                   {`{"`, "x", func() any { return &document{} }},
		"spaces":                    {"", " ", func() any { return &document{} }},
		"nested lists":              {`{"any":`, "[", func() any { return &document{} }},
		"nested objects":            {"", `{"any":`, func() any { return &document{} }},
		"managed fields in entries": {`[{"metadata":{"managedFields":[`, "{},", func() any { return &[]metav1.PartialObjectMetadata{} }},
		"numbers":                   {`{"any":[`, "0,", func() any { return &document{} }},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			rest := &repeated{text: tc.repeat}
			into := tc.into()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)

			err := Decode(io.MultiReader(strings.NewReader(tc.begin), rest), into, limits)

			runtime.ReadMemStats(&after)
			g.Expect(err).To(MatchError(ErrTooLarge))
			g.Expect(rest.taken).To(BeNumerically("<=", 2*limits.MaxBytes), "reading stops at the limit")
			allocated := int64(after.TotalAlloc - before.TotalAlloc)
			g.Expect(allocated).To(BeNumerically("<=", 8*limits.MaxMemoryBytes), "allocated in all")
		})
	}
}

// What is taken is what encoding/json would have taken; the rest is refused, and
// nothing panics.
func FuzzDecode(f *testing.F) {
	for _, text := range []string{
		`{"name":"a\"","labels":{"k":"v"},"lists":[["x"],[]],"any":[1,null,true,1e9]}`, "null", "[]", "[{}]", "[{},]", "[1 2]", `[{"name":1}]`,
		"{}{}", `{"name":"\u0000\ud800"}`, "[[[[[[[[[[[[[[[[", "", " ", "\x00", `{"any":{"any":{"any":{}}}}`, `["` + strings.Repeat("x", 300) + `"]`,
	} {
		f.Add([]byte(text))
	}
	limits := Limits{MaxBytes: 1 << 16, MaxStringBytes: 256, MaxDepth: 16, MaxMemoryBytes: 1 << 18}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, pair := range [][2]any{{&document{}, &document{}}, {&[]document{}, &[]document{}}} {
			err := Decode(strings.NewReader(string(data)), pair[0], limits)
			want := json.Unmarshal(data, pair[1])
			switch {
			case errors.Is(err, ErrTooLarge):
				continue
			case (err == nil) != (want == nil):
				t.Fatalf("Decode: %v; json.Unmarshal: %v", err, want)
			case err == nil && !reflect.DeepEqual(pair[0], pair[1]):
				t.Fatalf("Decode: %+v; json.Unmarshal: %+v", pair[0], pair[1])
			}
		}
	})
}
