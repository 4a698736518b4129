package mover

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/utils/clock"

	"github.com/podkeep/podkeep/internal/wire"
)

func TestProgressIsPrintedOnceASecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := NewWithT(t)
		var lines bytes.Buffer
		r := newReporter(Output{Messages: &lines, Clock: clock.RealClock{}})

		stop := r.follow(t.Context(), func() wire.Progress { return wire.Progress{DoneBytes: 1} })
		time.Sleep(10*time.Second + time.Millisecond)
		synctest.Wait()
		meanwhile := bytes.Count(lines.Bytes(), []byte(`"progress"`))
		stop()

		// The word is in each line twice, as its type and as the name of the field.
		g.Expect(meanwhile).To(BeNumerically(">=", 2*10), "lines of ten seconds")
		g.Expect(bytes.Count(lines.Bytes(), []byte(`"progress"`))).To(BeNumerically(">", meanwhile), "and the last word")
	})
}
