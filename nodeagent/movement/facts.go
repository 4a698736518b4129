// Package movement holds what the backup and the restore of a volume have in
// common: a mover pod is made, waits for a slot, moves data, and ends.
//
// Plan is pure and holds every decision about movers; its rows are the table of
// docs/node-agent.md. Report is pure and derives phase, conditions and times.
// Actor carries steps out. What is special about backups and restores (which pod,
// which repository, what a result means) is in nodeagent/backup and
// nodeagent/restore, which hand in their verdicts as Obstacles.
package movement

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/wire"
	"github.com/podkeep/podkeep/nodeagent/moverlog"
	"github.com/podkeep/podkeep/nodeagent/moverpod"
	"github.com/podkeep/podkeep/nodeagent/slots"
)

// Key is how a mover is known on its node.
type Key struct {
	Kind wire.Kind
	Name string // of the object and of the mover pod
}

// KeyOf returns the key of the object that a mover pod works for, and false for
// any other pod.
func KeyOf(pod *corev1.Pod) (Key, bool) {
	for _, owner := range pod.OwnerReferences {
		for _, kind := range []wire.Kind{wire.KindBackup, wire.KindRestore} {
			if owner.Kind == moverpod.OwnerKind(kind) && strings.HasPrefix(owner.APIVersion, velerov1.GroupName+"/") {
				return Key{Kind: kind, Name: owner.Name}, true
			}
		}
	}
	return Key{}, false
}

// Limits bound how long things may take. The zero value is not usable; see
// DefaultLimits.
type Limits struct {
	// Prepare is how long a mover may take from its creation until it is ready.
	Prepare time.Duration

	// Stuck is how long the kubelet may say that a mover cannot start, for example
	// that its image cannot be pulled, before that is believed.
	Stuck time.Duration

	// Stop is how long a mover may take to end after it was told to.
	Stop time.Duration

	// Silence is how long a running mover whose log cannot be read is taken to be
	// unprepared.
	Silence time.Duration

	// Recheck is how often the preconditions are looked at again while a mover does
	// not start: the volume may be gone, and the kubelet says that only in events.
	Recheck time.Duration

	// Movers is how many movers are made for one object before it fails.
	Movers int

	// Refused is how long to wait before a mover that the node refused to run is
	// replaced. A mover that ran is replaced at once.
	Refused time.Duration

	// Notice is how long a mover may take to notice its slot before it is told
	// again. The kubelet passes it on within a third of a second, but was seen to
	// miss a change until its next look a minute later (v1.36.3).
	Notice time.Duration

	// Settle is how long data has to move before it is worth a write that says so:
	// most small volumes are done by then, and that is a write anyway.
	Settle time.Duration

	// Linger is how long the pod of a mover that has ended may stay while others
	// of its node wait.
	Linger time.Duration
}

// DefaultLimits are Velero's prepare timeout and podkeep's own choices, explained
// in docs/node-agent.md.
func DefaultLimits() Limits {
	return Limits{
		Prepare: 30 * time.Minute,
		Stuck:   2 * time.Minute,
		Stop:    30 * time.Second,
		Silence: 15 * time.Second,
		Recheck: 15 * time.Second,
		Movers:  3,
		Refused: 15 * time.Second,
		Notice:  time.Second,
		Settle:  500 * time.Millisecond,
		Linger:  10 * time.Second,
	}
}

// Obstacle is why a volume cannot be moved, now or ever.
type Obstacle struct {
	Reason   string // a condition reason of api/velero/v1
	Message  string
	Terminal bool          // waiting does not help
	After    time.Duration // look again after; 0 means when a watched object changes
}

// Facts is all that Plan and Report may look at. Nobody changes it after it is
// complete.
type Facts struct {
	Now     time.Time
	Limits  Limits
	Subject string // the volume, for messages

	// What the object says. Held is one whose data must not be moved yet.
	Finished bool
	Held     bool
	Cancel   string      // why to stop; "" means that nobody asked
	Movers   []types.UID // mover pods made so far, oldest first

	// Blocked is what keeps a mover from being made or from starting. It is only
	// asked for while there is no mover that runs.
	Blocked *Obstacle

	// Gone says that the pod which the volume belongs to is gone. Durable says that
	// the volume is not gone with it.
	Gone    *Obstacle
	Durable bool

	Mover *Mover // nil when there is none

	// What the node's ledger says. Busy means that movers of the node have not ended.
	Slot    slots.Standing
	HasRoom bool
	Busy    bool

	// Completed is when a finished object ended; zero means that it did not say.
	Completed time.Time
}

// Mover is a mover pod and what it has said.
type Mover struct {
	Namespace string
	Name      string
	UID       types.UID

	Foreign  bool // belongs to another object of the same name
	Created  time.Time
	Deleting time.Time // when it was told to go; zero means that it was not
	Granted  bool      // annotated with a slot
	Told     time.Time // when it was last told of its slot; zero means at its creation

	Running  time.Time // since when its container runs; zero means that it does not
	Prepared bool
	Started  bool
	Begun    time.Time // when Started was heard of; zero means that nobody knows
	Progress wire.Progress
	Result   *wire.Result // nil means that it has not said how it ended

	Ended  bool   // its container will not run any more
	Ran    bool   // its container has run
	Ending string // how it ended, for people, when there is no result

	Stuck string // why it cannot start, as the kubelet says it; "" means that it may yet
	Doing string // what the kubelet is waiting for; "" means nothing
}

// stuckReasons are those of a waiting container that rarely pass by themselves
// (k8s.io/kubernetes/pkg/kubelet/images and kuberuntime).
var stuckReasons = []string{
	"ImagePullBackOff", "ErrImagePull", "ErrImageNeverPull", "InvalidImageName",
	"ImageInspectError", "RegistryUnavailable",
	"CreateContainerConfigError", "CreateContainerError", "RunContainerError",
}

// parseTime returns the zero time for a text that is none.
func parseTime(text string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}
	}
	return t
}

// MoverOf reduces a mover pod and its log to facts. wasReady says that the mover
// is recorded as ready already, which a new node agent cannot know from a log
// that it has yet to read.
func MoverOf(pod *corev1.Pod, owner types.UID, log moverlog.State, wasReady bool) *Mover {
	m := &Mover{
		Namespace: pod.Namespace,
		Name:      pod.Name,
		UID:       pod.UID,
		Foreign:   !slices.Contains(ownerUIDs(pod), owner),
		Created:   pod.CreationTimestamp.Time,
		Granted:   pod.Annotations[velerov1.SlotAnnotation] == velerov1.SlotGranted,
		Told:      parseTime(pod.Annotations[velerov1.SlotGrantedAtAnnotation]),
		Prepared:  log.Prepared || wasReady,
		Started:   log.Started,
		Begun:     log.StartedAt,
		Progress:  log.Progress,
		Result:    log.Result,
	}
	if pod.DeletionTimestamp != nil {
		m.Deleting = pod.DeletionTimestamp.Time
	}
	m.setContainer(pod)
	if pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
		m.Ended = true
	}
	if m.Ended && m.Result == nil {
		m.Ending = strings.Join(nonEmpty(m.Ending, pod.Status.Reason, pod.Status.Message, lastWords(log)), ", ")
	}
	return m
}

// setContainer reads the state of the pod's only container, if the kubelet has
// reported one.
func (m *Mover) setContainer(pod *corev1.Pod) {
	if len(pod.Status.ContainerStatuses) == 0 {
		return
	}
	state := pod.Status.ContainerStatuses[0].State
	switch {
	case state.Running != nil:
		m.Running = state.Running.StartedAt.Time
		m.Ran = true
	case state.Terminated != nil:
		t := state.Terminated
		m.Ended = true
		m.Ran = !t.StartedAt.IsZero()
		m.Ending = fmt.Sprintf("%s, exit code %d", t.Reason, t.ExitCode)
		if r, err := wire.ParseResult(t.Message); err == nil && m.Result == nil {
			m.Result = &r
		}
	case state.Waiting != nil:
		m.Doing = strings.Join(nonEmpty(state.Waiting.Reason, state.Waiting.Message), ": ")
		if slices.Contains(stuckReasons, state.Waiting.Reason) {
			m.Stuck = m.Doing
		}
	}
}

// believeSilence takes a mover that runs, but whose log nobody can read, to be
// prepared, and to have started when it may.
func (m *Mover) believeSilence(log moverlog.State, now time.Time, silence time.Duration) {
	if log.Opened || m.Running.IsZero() || now.Sub(m.Running) < silence {
		return
	}
	m.Prepared = true
	m.Started = m.Started || m.Granted
}

func ownerUIDs(pod *corev1.Pod) []types.UID {
	uids := make([]types.UID, 0, len(pod.OwnerReferences))
	for _, owner := range pod.OwnerReferences {
		uids = append(uids, owner.UID)
	}
	return uids
}

func lastWords(log moverlog.State) string {
	if log.LastWords == "" {
		return ""
	}
	return "last output: " + log.LastWords
}

func nonEmpty(texts ...string) []string {
	return slices.DeleteFunc(texts, func(s string) bool { return s == "" })
}

// ParseMovers reads velerov1.MoversAnnotation.
func ParseMovers(text string) []types.UID {
	var uids []types.UID
	for uid := range strings.SplitSeq(text, ",") {
		if uid = strings.TrimSpace(uid); uid != "" {
			uids = append(uids, types.UID(uid))
		}
	}
	return uids
}

// formatMovers is the value of velerov1.MoversAnnotation.
func formatMovers(uids []types.UID) string {
	texts := make([]string, 0, len(uids))
	for _, uid := range uids {
		texts = append(texts, string(uid))
	}
	return strings.Join(texts, ",")
}

// settlesIn is for how long yet the start of the mover is not worth a write; 0 or
// less means that it is.
func (f Facts) settlesIn() time.Duration {
	if f.Mover.Begun.IsZero() {
		return 0
	}
	return f.Mover.Begun.Add(f.Limits.Settle).Sub(f.Now)
}

// NeedsSource reports whether it matters where the volume and the repository are:
// before a mover is made, and while one takes long to start.
func (f Facts) NeedsSource() bool {
	m := f.Mover
	switch {
	case f.Cancel != "":
		return false
	case m == nil:
		return true
	default:
		return !m.Foreign && !m.Ended && !m.Prepared && m.Running.IsZero() &&
			f.Now.Sub(m.Created) >= f.Limits.Recheck
	}
}
