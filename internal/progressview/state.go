package progressview

import (
	"fmt"
	"time"

	"github.com/podkeep/podkeep/internal/describe"
)

// State is a backup or restore at one moment.
type State struct {
	Title    string // "Backup shop-1"
	Phase    string
	Why      describe.Why
	Finished bool              // it will not change any more
	Volumes  []describe.Volume // sorted by name

	ItemsDone  int
	ItemsTotal int // 0: not known yet

	// Trouble says that the state may be old, and why; "" when it is not.
	Trouble string
}

// untakenAfter is how long a server may take to see a new object before people
// are told that none may be running.
const untakenAfter = 10 * time.Second

// Of returns the state of a backup or restore.
func Of(r describe.Run, now time.Time) State {
	s := State{
		Title: r.Kind + " " + r.Name, Phase: r.Phase, Why: describe.WhyOf(r.Conditions), Finished: r.Finished,
		Volumes: r.Volumes, ItemsDone: r.ItemsDone, ItemsTotal: r.ItemsTotal,
	}
	return s.withHint(r.Namespace, now.Sub(r.Created))
}

// withHint explains an object that nobody takes up, which cannot explain itself.
func (s State) withHint(namespace string, age time.Duration) State {
	if s.Phase == describe.PhaseNew && s.Why == (describe.Why{}) && age >= untakenAfter {
		s.Why = describe.Why{
			Reason:  "NotTaken",
			Message: fmt.Sprintf("no server has taken it; look for one with: kubectl get pods -n %s", namespace),
			Problem: true,
		}
	}
	return s
}
