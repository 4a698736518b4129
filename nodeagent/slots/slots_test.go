package slots

import (
	"fmt"
	"sync"
	"testing"

	. "github.com/onsi/gomega"
)

func TestMoverMadeWhileASlotIsFreeGetsItAtOnce(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	l := New[string](2, 8)

	g.Expect(l.Admit("a", 0)).To(Equal(Granted))
	g.Expect(l.Admit("b", 0)).To(Equal(Granted))
	g.Expect(l.Admit("c", 0)).To(Equal(Preparing))
	g.Expect(l.Admit("a", 0)).To(Equal(Granted), "asking again changes nothing")
}

func TestSlotIsNotGivenAtCreationWhenMoreAreWanted(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	l := New[string](2, 8)

	g.Expect(l.Admit("a", 2)).To(Equal(Preparing), "three for two slots")
	g.Expect(l.Admit("b", 1)).To(Equal(Preparing))
	g.Expect(l.Admit("c", 0)).To(Equal(Preparing))

	g.Expect(l.Ready("c")).To(Equal([]string{"c"}))
	g.Expect(l.Ready("a")).To(Equal([]string{"a"}))
	g.Expect(l.Ready("b")).To(BeEmpty())
}

func TestReleasedSlotGoesToTheFirstThatIsReady(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	l := New[string](1, 8)
	for _, key := range []string{"a", "b", "c", "d"} {
		l.Admit(key, 0)
	}
	g.Expect(l.Ready("c")).To(BeEmpty())
	g.Expect(l.Ready("b")).To(BeEmpty())
	g.Expect(l.Ready("c")).To(BeEmpty(), "being ready twice does not move it back")

	g.Expect(l.Release("a")).To(Equal([]string{"c"}))
	g.Expect(l.Standing("c")).To(Equal(Granted))
	g.Expect(l.Standing("b")).To(Equal(Ready))
	g.Expect(l.Release("c")).To(Equal([]string{"b"}))
	g.Expect(l.Release("b")).To(BeEmpty(), "nobody is ready")
	g.Expect(l.Ready("d")).To(Equal([]string{"d"}), "a free slot goes to whoever is ready next")
}

func TestSlotIsNotGivenAtCreationPastTheLine(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	l := New[string](1, 8)
	l.Adopt("running", true)
	l.Admit("a", 0)
	l.Ready("a")
	l.Release("running")

	g.Expect(l.Standing("a")).To(Equal(Granted))
	g.Expect(l.Admit("b", 0)).To(Equal(Preparing))
}

func TestQueueIsBounded(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	l := New[string](1, 2)
	g.Expect(l.Admit("a", 0)).To(Equal(Granted))
	g.Expect(l.Admit("b", 0)).To(Equal(Preparing))
	g.Expect(l.Admit("c", 0)).To(Equal(Preparing))

	g.Expect(l.HasRoom("d")).To(BeFalse())
	g.Expect(l.Admit("d", 0)).To(Equal(Unknown))
	g.Expect(l.Admit("e", 0)).To(Equal(Unknown))
	l.Ready("b")

	g.Expect(l.Release("a")).To(Equal([]string{"b", "d"}), "b moves data, so there is room for one more")
	g.Expect(l.Admit("d", 0)).To(Equal(Preparing))
	g.Expect(l.Release("c")).To(Equal([]string{"e"}))
}

func TestRefusedThatGoesAwayIsForgotten(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	l := New[string](1, 1)
	l.Admit("a", 0)
	l.Admit("b", 0)
	l.Admit("c", 0)
	l.Admit("d", 0)

	g.Expect(l.Release("c")).To(BeEmpty())
	g.Expect(l.Release("b")).To(Equal([]string{"d"}))
}

func TestAdoptedMoversCountAlsoWhenThereAreTooMany(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	l := New[string](1, 1)
	l.Adopt("a", true)
	l.Adopt("b", true)
	l.Adopt("c", false)
	l.Ready("c")

	g.Expect(l.Release("a")).To(BeEmpty(), "b still holds the only slot")
	g.Expect(l.Release("b")).To(Equal([]string{"c"}))
}

func TestAdoptDoesNotTakeBackWhatWasGranted(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	l := New[string](1, 1)
	l.Admit("a", 0)

	l.Adopt("a", false)

	g.Expect(l.Standing("a")).To(Equal(Granted))
}

func TestNeverMoreHoldersThanSlots(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	const slotCount = 3
	l := New[string](slotCount, 1000)
	var wg sync.WaitGroup
	var mu sync.Mutex
	most := 0

	for i := range 50 {
		wg.Go(func() {
			key := fmt.Sprint(i)
			l.Admit(key, 0)
			l.Ready(key)
			mu.Lock()
			holders := 0
			for j := range 50 {
				if l.Standing(fmt.Sprint(j)) == Granted {
					holders++
				}
			}
			most = max(most, holders)
			mu.Unlock()
		})
	}
	wg.Wait()

	g.Expect(most).To(Equal(slotCount))
}
