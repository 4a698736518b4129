package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/podkeep/podkeep/internal/progressview"
)

// view shows the progress of something that is waited for.
type view interface {
	// connecting says that nothing is known yet; trouble is why, or "".
	connecting(trouble string)
	// show shows a state. It is called at least once every frameInterval.
	show(now time.Time, s progressview.State)
	// last shows the state in which everything ended.
	last(now time.Time, s progressview.State)
	// interrupt leaves the terminal so that text can follow.
	interrupt()
}

func (s *session) newView(out io.Writer) view {
	now := s.clock.Now()
	if t := s.terminal(out); t != nil {
		return &liveView{out: out, terminal: t, color: s.wantColor(), started: now, meter: progressview.NewMeter()}
	}
	return &plainView{out: out, log: progressview.NewLog(now), meter: progressview.NewMeter()}
}

// liveView draws frames over one another.
type liveView struct {
	out      io.Writer
	terminal *terminal
	color    bool
	started  time.Time
	painted  time.Time
	screen   progressview.Screen
	meter    *progressview.Meter
}

func (v *liveView) connecting(trouble string) {
	if trouble != "" {
		width, _ := v.terminal.size()
		v.paint([]string{progressview.Fit(trouble, width)}, width)
	}
}

func (v *liveView) show(now time.Time, s progressview.State) {
	if now.Sub(v.painted) < frameInterval {
		return
	}
	v.painted = now
	v.draw(now, s)
}

func (v *liveView) last(now time.Time, s progressview.State) { v.draw(now, s) }

func (v *liveView) draw(now time.Time, s progressview.State) {
	v.meter.Observe(now, s)
	width, height := v.terminal.size()
	size := progressview.Size{Width: width, Height: height, ASCII: v.terminal.ascii, Color: v.color}
	v.paint(progressview.Frame(s, v.meter, now.Sub(v.started), size), width)
}

// paint ignores what a terminal that went away returns: the waiting goes on, and
// its result is the exit code.
func (v *liveView) paint(lines []string, width int) {
	if text := v.screen.Paint(lines, width); text != "" {
		_, _ = io.WriteString(v.out, text)
	}
}

// interrupt goes to a new line, behind the ^C that the terminal has printed.
func (v *liveView) interrupt() { _, _ = io.WriteString(v.out, "\n") }

// plainView prints a line for each thing that happens.
type plainView struct {
	out     io.Writer
	log     *progressview.Log
	meter   *progressview.Meter
	trouble string
}

func (v *plainView) connecting(trouble string) {
	if trouble != "" && trouble != v.trouble {
		_, _ = fmt.Fprintln(v.out, trouble)
	}
	v.trouble = trouble
}

func (v *plainView) show(now time.Time, s progressview.State) {
	v.meter.Observe(now, s)
	for _, line := range v.log.Lines(now, s, v.meter) {
		_, _ = fmt.Fprintln(v.out, line)
	}
}

func (v *plainView) last(now time.Time, s progressview.State) { v.show(now, s) }

func (v *plainView) interrupt() {}

// terminal is where frames are drawn.
type terminal struct {
	size  func() (width, height int) // that frames may use
	ascii bool                       // draw without line characters
}

// Size of a terminal that does not tell its own.
const (
	usualWidth  = 80
	usualHeight = 24
)

// openTerminal returns the terminal behind a writer; nil when there is none, or
// one that cannot move its cursor.
func openTerminal(w io.Writer, env func(string) string) *terminal {
	file, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) || env("TERM") == "dumb" {
		return nil
	}
	return &terminal{
		ascii: !speaksUTF8(env),
		size: func() (width, height int) {
			width, height, err := term.GetSize(int(file.Fd()))
			if err != nil || width <= 0 || height <= 0 {
				width, height = usualWidth, usualHeight
			}
			// A full last column or row makes terminals scroll or wrap.
			return width - 1, height - 1
		},
	}
}

// speaksUTF8 looks where C libraries look, in their order.
func speaksUTF8(env func(string) string) bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if locale := env(name); locale != "" {
			locale = strings.ToUpper(locale)
			return strings.Contains(locale, "UTF-8") || strings.Contains(locale, "UTF8")
		}
	}
	return false
}
