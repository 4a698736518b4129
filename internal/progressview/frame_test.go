package progressview

import (
	"fmt"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/describe"
)

func states() map[string]State {
	collecting := State{
		Title: "Backup shop-1", Phase: "InProgress", Why: describe.Why{Reason: velerov1.ReasonCollecting}, ItemsDone: 120, ItemsTotal: 312,
	}
	trouble := mixed()
	trouble.Why = describe.Why{Reason: velerov1.ReasonStorageUnavailable, Message: "putting backups/shop-1/shop-1.tar.gz: connection refused", Problem: true}
	trouble.Trouble = "the cluster does not answer, trying again: connection refused"
	unknownSize := shop(moving("shop/web-0", "data", 5*mebibyte))
	unknownSize.Volumes[0].BytesTotal = 0
	stuck := shop(waiting("cli-demo/small", "data", velerov1.ReasonWaitingForRepository), waiting("cli-demo/web-f4776bb9d-vwd75", "logs", velerov1.ReasonWaitingForRepository))
	for i := range stuck.Volumes {
		stuck.Volumes[i].Why.Message = "repository cli-demo-default-kopia is not ready: opening repository: reading kopia.repository: Access Denied"
	}
	queue := shop(waiting("cli-demo/small", "data", velerov1.ReasonWaitingForSlot))
	queue.Volumes[0].Why.Message = "mover pod cli-3-733801ef31 is ready and waits until the node moves fewer other volumes"
	return map[string]State{
		"queue":        queue,
		"stuck":        stuck,
		"new":          {Title: "Backup shop-1", Phase: "New"},
		"collecting":   collecting,
		"mixed":        mixed(),
		"trouble":      trouble,
		"unknown-size": unknownSize,
		"many":         many(40),
	}
}

func TestFrame(t *testing.T) {
	t.Parallel()
	for name, s := range states() {
		for _, width := range []int{40, 80, 120} {
			t.Run(fmt.Sprintf("%s-%d", name, width), func(t *testing.T) {
				t.Parallel()
				size := Size{Width: width, Height: 16, ASCII: width == 40}

				got := Frame(s, measured(s), 75*time.Second, size)

				expectGolden(t, fmt.Sprintf("frame-%s-%d.txt", name, width), strings.Join(got, "\n")+"\n")
			})
		}
	}
}

func TestFrameFitsEveryTerminal(t *testing.T) {
	t.Parallel()
	for name, s := range states() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			m := measured(s)
			for width := range 130 {
				for _, height := range []int{0, 1, 2, 3, 5, 24} {
					lines := Frame(s, m, time.Hour, Size{Width: width, Height: height})

					g.Expect(len(lines)).To(BeNumerically("<=", height))
					for _, line := range lines {
						g.Expect(columns(line)).To(BeNumerically("<=", width), line)
					}
				}
			}
		})
	}
}

func TestEveryVolumeIsShownOrCounted(t *testing.T) {
	t.Parallel()
	for height := 6; height < 50; height++ {
		t.Run(fmt.Sprintf("in %d lines", height), func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			s := many(40)

			lines := volumeLines(s.Volumes, NewMeter(), newLayout(s.Volumes, Size{Width: 80, Height: height}), height)

			shown, more := len(lines), 0
			if _, err := fmt.Sscanf(lines[len(lines)-1].text, "… and %d more", &more); err == nil {
				shown--
			}
			g.Expect(shown + more).To(Equal(40))
			g.Expect(len(lines)).To(BeNumerically("<=", height))
		})
	}
}

func TestColorTakesNoRoom(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)
	s := mixed()
	for width := range 130 {
		plain := Frame(s, measured(s), time.Minute, Size{Width: width, Height: 24})
		colored := Frame(s, measured(s), time.Minute, Size{Width: width, Height: 24, Color: true})

		for i := range colored {
			g.Expect(visible(colored[i])).To(Equal(plain[i]))
		}
	}
	lines := strings.Join(Frame(s, measured(s), time.Minute, Size{Width: 100, Height: 24, Color: true}), "\n")
	g.Expect(lines).To(ContainSubstring(describe.Red + "Failed"))
	g.Expect(lines).To(ContainSubstring(describe.Green + "Completed"))
}

func TestPercentIsNeverCompleteTooSoon(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)

	g.Expect(percent(0, 0)).To(Equal(0))
	g.Expect(percent(1, 3)).To(Equal(33))
	g.Expect(percent(3, 3)).To(Equal(99))
	g.Expect(percent(5, 3)).To(Equal(99))
}

func TestWrap(t *testing.T) {
	t.Parallel()
	g := NewWithT(t)

	g.Expect(wrap("one two three four", 9, 3)).To(Equal([]string{"one two", "three", "four"}))
	g.Expect(wrap("one two three four", 9, 2)).To(Equal([]string{"one two", "three fo…"}))
	g.Expect(wrap("extraordinary", 5, 2)).To(Equal([]string{"extr…"}))
	g.Expect(wrap("", 5, 2)).To(BeEmpty())
}

func TestTextIsCutByColumns(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		got, want string
	}{
		"what fits is left alone":              {cut("abc", 3), "abc"},
		"a cut text says so":                   {cut("abcd", 3), "ab…"},
		"wide characters take two columns":     {cut("日本語", 4), "日…"},
		"no room, no text":                     {cut("abc", 0), ""},
		"names lose their beginning":           {cutStart("shop/web-0 data", 6), "… data"},
		"names with wide characters fit too":   {cutStart("日本語", 4), "…語"},
		"a name that fits keeps its beginning": {cutStart("abc", 3), "abc"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)

			g.Expect(tc.got).To(Equal(tc.want))
		})
	}
}
