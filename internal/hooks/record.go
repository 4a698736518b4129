package hooks

import (
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// State is how far a hook has come.
type State string

// The states. Started is written before the command is run, so that a server that
// starts anew knows which commands may have done their work.
const (
	Waiting   State = ""
	Started   State = "Started"
	Succeeded State = "Succeeded"
	Failed    State = "Failed"
	Skipped   State = "Skipped" // not run, because an earlier hook of the pod failed
	Dropped   State = "Dropped" // not run, because the backup or restore stopped
)

// Run is a hook and what has come of it.
type Run struct {
	Hook `json:",inline"`

	// Pod is the index of the pod in the record.
	Pod int `json:"pod"`

	State State `json:"state,omitempty"`

	// Message says why it failed, was skipped or dropped, in one line.
	Message string `json:"message,omitempty"`

	// Stdout and Stderr are the ends of what the command printed.
	Stdout string `json:"stdout,omitempty"`
	Stderr string `json:"stderr,omitempty"`

	StartedAt *metav1.Time `json:"startedAt,omitempty"`
	EndedAt   *metav1.Time `json:"endedAt,omitempty"`
}

// IsEnded reports whether the hook will not be run any more.
func (r Run) IsEnded() bool { return r.State != Waiting && r.State != Started }

// WasStarted reports whether the command may have done something.
func (r Run) WasStarted() bool { return r.StartedAt != nil }

// Pod is a pod with hooks.
type Pod struct {
	Namespace string    `json:"namespace"`
	Name      string    `json:"name"`
	UID       types.UID `json:"uid"`
}

// String is "namespace/name".
func (p Pod) String() string { return p.Namespace + "/" + p.Name }

// Record is what a backup or restore remembers of the hooks of some pods. It is in
// the cluster while the work goes on.
type Record struct {
	Pods []Pod `json:"pods"`

	// Volumes are the names of the PodVolumeBackups that the hooks are run around.
	Volumes []string `json:"volumes,omitempty"`

	// Before is how many records of the same restore were made earlier. The more there
	// are, the less often each looks at its pod.
	Before int `json:"before,omitempty"`

	// Runs are in the order in which they are run.
	Runs []Run `json:"runs"`
}

// Add enters a pod and its hooks. All hooks before the volumes come before all
// hooks after them.
func (r *Record) Add(pod Pod, found []Hook) {
	at := len(r.Pods)
	r.Pods = append(r.Pods, pod)
	var pre, rest []Run
	for _, run := range r.Runs {
		if run.Stage == Pre {
			pre = append(pre, run)
		} else {
			rest = append(rest, run)
		}
	}
	for _, h := range found {
		if run := (Run{Hook: h, Pod: at}); h.Stage == Pre {
			pre = append(pre, run)
		} else {
			rest = append(rest, run)
		}
	}
	r.Runs = append(pre, rest...)
}

// Next returns the index of the first hook of a stage that has not ended, or -1.
func (r Record) Next(stage Stage) int {
	for i, run := range r.Runs {
		if run.Stage == stage && !run.IsEnded() {
			return i
		}
	}
	return -1
}

// FailedFor returns the first hook of a stage and pod that failed and asked that
// nothing more be done for the pod then, or nil.
func (r Record) FailedFor(pod int, stage Stage) *Run {
	for i, run := range r.Runs {
		if run.Pod == pod && run.Stage == stage && run.State == Failed && run.OnError == velerov1.HookErrorModeFail {
			return &r.Runs[i]
		}
	}
	return nil
}

// IsEnded reports whether no hook is left to run.
func (r Record) IsEnded() bool {
	for _, run := range r.Runs {
		if !run.IsEnded() {
			return false
		}
	}
	return true
}

// Settled returns the runs, by index, of which is known without a command what
// comes of them: those for which settle, which is asked for each that has not
// ended, says anything but Waiting.
func (r Record) Settled(settle func(Run) (State, string)) map[int]Run {
	marks := map[int]Run{}
	for i, run := range r.Runs {
		if run.IsEnded() {
			continue
		}
		if state, message := settle(run); state != Waiting {
			run.State, run.Message = state, message
			marks[i] = run
		}
	}
	return marks
}

// Count returns the numbers for status.hookStatus. A hook that was skipped counts
// as attempted, as in Velero; one that was dropped does not.
func (r Record) Count() velerov1.HookStatus {
	var s velerov1.HookStatus
	for _, run := range r.Runs {
		switch run.State {
		case Succeeded, Skipped:
			s.HooksAttempted++
		case Failed:
			s.HooksAttempted++
			s.HooksFailed++
		case Waiting, Started, Dropped:
		}
	}
	return s
}

// Encode returns the record as JSON.
func (r Record) Encode() (string, error) {
	text, err := json.Marshal(r)
	if err != nil {
		return "", fmt.Errorf("encoding hooks: %w", err)
	}
	return string(text), nil
}

// Decode reads what Encode wrote. A record that somebody has changed so that it
// cannot be used is an error.
func Decode(text string) (Record, error) {
	var r Record
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return Record{}, fmt.Errorf("decoding hooks: %w", err)
	}
	for i, run := range r.Runs {
		if run.Pod < 0 || run.Pod >= len(r.Pods) {
			return Record{}, fmt.Errorf("decoding hooks: runs[%d].pod: %d is not one of %d pods", i, run.Pod, len(r.Pods))
		}
		if run.Timeout.Duration <= 0 {
			return Record{}, fmt.Errorf("decoding hooks: runs[%d].timeout: %s is not positive", i, run.Timeout.Duration)
		}
	}
	return r, nil
}
