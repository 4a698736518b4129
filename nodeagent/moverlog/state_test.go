package moverlog

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	. "github.com/onsi/gomega"

	"github.com/podkeep/podkeep/internal/wire"
)

func TestLogBecomesState(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		log  string
		want State
	}{
		"nothing yet": {},
		"prepared": {
			log:  `{"type":"prepared"}` + "\n",
			want: State{Prepared: true},
		},
		"started implies prepared, for a log whose beginning was rotated away": {
			log:  `{"type":"started"}` + "\n",
			want: State{Prepared: true, Started: true, StartedAt: time.Unix(100, 0)},
		},
		"progress": {
			log:  `{"type":"progress","progress":{"totalBytes":10,"doneBytes":4}}` + "\n",
			want: State{Progress: wire.Progress{TotalBytes: 10, DoneBytes: 4}},
		},
		"result": {
			log:  `{"type":"result","result":{"snapshotID":"k1","totalBytes":3}}` + "\n",
			want: State{Result: &wire.Result{SnapshotID: "k1", TotalBytes: 3}},
		},
		"line that is cut off is no line": {
			log:  `{"type":"prepared"}` + "\n" + `{"type":"started"}`,
			want: State{Prepared: true},
		},
		"other output is kept as last words": {
			log: "level=info msg=\"opening repository\"\r\n" + `{"type":"prepared"}` + "\n\n" +
				`{"level":"warn"}` + "\n" + "panic: out of memory\n{broken\n",
			want: State{
				Prepared:  true,
				LastWords: `level=info msg="opening repository"; {"level":"warn"}; panic: out of memory; {broken`,
			},
		},
		"only the last words count": {
			log:  "1\n2\n3\n4\n5\n6\n7\n",
			want: State{LastWords: "3; 4; 5; 6; 7"},
		},
		"result without content is none": {
			log: `{"type":"result"}` + "\n",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			l := &log{}

			err := lines(iotest.OneByteReader(strings.NewReader(tc.log)), func(text string) bool {
				l.line(text, time.Unix(100, 0))
				return false
			})

			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(l.state).To(Equal(tc.want))
		})
	}
}

func TestProgressIsTakenOverOnceASecond(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	l := &log{}
	progress := func(done string) string {
		return `{"type":"progress","progress":{"totalBytes":9,"doneBytes":` + done + `}}`
	}
	t0 := time.Unix(100, 0)

	g.Expect(l.line(progress("1"), t0)).To(Equal(changeProgress))
	g.Expect(l.line(progress("2"), t0.Add(900*time.Millisecond))).To(Equal(changeNothing))
	g.Expect(l.state.Progress.DoneBytes).To(BeEquivalentTo(1))
	g.Expect(l.line(progress("3"), t0.Add(time.Second))).To(Equal(changeProgress))
	g.Expect(l.state.Progress.DoneBytes).To(BeEquivalentTo(3))
	g.Expect(l.line(progress("3"), t0.Add(5*time.Second))).To(Equal(changeNothing), "no news")
}

func TestEndlessLineIsCut(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	var got []string

	err := lines(strings.NewReader(strings.Repeat("x", 3*maxLineBytes)+"\nnext\n"), func(text string) bool {
		got = append(got, text)
		return false
	})

	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(got).To(HaveLen(2))
	g.Expect(got[0]).To(HaveLen(maxLineBytes))
	g.Expect(got[1]).To(Equal("next"))
}

func TestReadErrorIsReturned(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	boom := errors.New("boom")

	err := lines(io.MultiReader(strings.NewReader("a\n"), iotest.ErrReader(boom)), func(string) bool { return false })

	g.Expect(err).To(MatchError(boom))
}
