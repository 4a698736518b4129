package movement

import (
	"context"
	"fmt"
	"math"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/outcome"
	"github.com/podkeep/podkeep/nodeagent/moverlog"
	"github.com/podkeep/podkeep/nodeagent/slots"
)

// Actor observes mover pods and carries out steps about them. One is shared by
// the backups and the restores of a node. Fields are set before use and not
// changed after.
type Actor struct {
	Client    client.Client // its cache holds the pods of the node
	Reader    client.Reader // reads from the API, not from a cache
	Namespace string        // of the install, and of the movers
	Node      string
	Limits    Limits
	Ledger    *slots.Ledger[Key]
	Logs      *moverlog.Follower
	Triggers  *Triggers

	mu      sync.Mutex
	adopted bool // guarded by mu
}

// Subject is an object that a mover works for.
type Subject struct {
	Key    Key
	UID    types.UID
	Movers []types.UID // recorded in velerov1.MoversAnnotation
	Status Status
}

// Observe fills in what there is to know about the mover of an object. A mover
// that was made but is not in the cache is looked up in the API, so that a slow
// cache is not taken for a lost mover.
func (a *Actor) Observe(ctx context.Context, s Subject, f *Facts) error {
	if err := a.ensureAdopted(ctx); err != nil {
		return err
	}
	f.Limits = a.Limits
	f.Movers = s.Movers
	f.Slot = a.Ledger.Standing(s.Key)
	f.HasRoom = a.Ledger.HasRoom(s.Key)
	f.Busy = a.Ledger.IsBusy()
	if s.Status.Completed != nil {
		f.Completed = s.Status.Completed.Time
	}

	pod := &corev1.Pod{}
	name := client.ObjectKey{Namespace: a.Namespace, Name: s.Key.Name}
	err := a.Client.Get(ctx, name, pod)
	if apierrors.IsNotFound(err) && len(s.Movers) > 0 {
		err = a.Reader.Get(ctx, name, pod)
	}
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return fmt.Errorf("getting mover pod %s: %w", s.Key.Name, err)
	}
	log := a.Logs.State(pod.UID)
	isSame := len(s.Movers) > 0 && s.Movers[len(s.Movers)-1] == pod.UID
	f.Mover = MoverOf(pod, s.UID, log, isSame && s.Status.WasReady())
	f.Mover.believeSilence(log, f.Now, f.Limits.Silence)
	return nil
}

// Act carries out one step and returns the UID of the mover pod it has made, if it
// made one. build is called to make one. A slot that the mover no longer needs is
// given on before anything else is done.
func (a *Actor) Act(ctx context.Context, s Subject, p Proposal) (types.UID, error) {
	f := p.Facts
	a.follow(s.Key, f)
	if p.Step.Action == ActFinish || f.Finished || (f.Mover != nil && f.Mover.Ended) {
		a.Triggers.Wake(ctx, a.Ledger.Release(s.Key))
	}
	switch p.Step.Action {
	case ActStart:
		return a.start(ctx, s.Key, p)
	case ActAwaitRoom:
		a.awaitRoom(ctx, s.Key)
		return "", nil
	case ActAwaitSlot:
		a.Triggers.Wake(ctx, a.Ledger.Ready(s.Key))
		return "", nil
	case ActGrant:
		return "", a.grant(ctx, f.Mover, f.Now)
	case ActStop, ActReplace, ActClean:
		return "", a.remove(ctx, f.Mover)
	default:
		return "", nil
	}
}

// Proposal is a step, what it was decided from, and how to build a mover pod, with
// or without a slot.
type Proposal struct {
	Facts Facts
	Step  Step
	Build func(granted bool) (*corev1.Pod, error)
}

// Forget gives back what an object that does not exist any more has held.
func (a *Actor) Forget(ctx context.Context, key Key) {
	a.Logs.Keep(key.Kind, key.Name, "")
	a.Triggers.Wake(ctx, a.Ledger.Release(key))
}

// follow keeps the log of the object's mover followed until it has said how it
// ended, and those of its earlier movers not.
func (a *Actor) follow(key Key, f Facts) {
	m := f.Mover
	if f.Finished {
		a.Logs.Keep(key.Kind, key.Name, "")
		return
	}
	if m == nil || m.Foreign {
		return
	}
	a.Logs.Keep(key.Kind, key.Name, m.UID)
	if m.Result == nil && !m.Ended {
		a.Logs.Follow(moverlog.Target{Kind: key.Kind, Namespace: m.Namespace, Name: m.Name, UID: m.UID})
	}
	if m.Ran {
		a.Logs.Hurry(m.UID)
	}
}

// start makes a mover pod. A name that is taken is success: it is this mover, or
// Observe will say whose it is.
func (a *Actor) start(ctx context.Context, key Key, p Proposal) (types.UID, error) {
	others, err := a.others(ctx)
	if err != nil {
		return "", err
	}
	if p.Facts.Held {
		others = math.MaxInt32 // nobody knows when it may move
	}
	standing := a.Ledger.Admit(key, others)
	if standing == slots.Unknown {
		return "", outcome.Waitf(velerov1.ReasonWaitingForSlot, a.Limits.Recheck,
			"the node prepares as many other volumes as it may")
	}
	pod, err := p.Build(standing == slots.Granted)
	if err != nil {
		return "", a.refuse(ctx, key, outcome.Terminalf(velerov1.ReasonInvalidSpec, "building mover pod: %w", err))
	}
	err = a.Client.Create(ctx, pod)
	switch {
	case err == nil:
		a.Logs.Follow(moverlog.Target{Kind: key.Kind, Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID})
		return pod.UID, nil
	case apierrors.IsAlreadyExists(err):
		return "", nil
	case apierrors.IsInvalid(err), apierrors.IsForbidden(err):
		return "", a.refuse(ctx, key, outcome.Terminalf(velerov1.ReasonMoverFailed, "creating mover pod: %w", err))
	default:
		return "", fmt.Errorf("creating mover pod %s: %w", pod.Name, err)
	}
}

// others counts the volumes of the node that have no mover yet, less the one that
// is asked for. Those that are held do not compete for a slot.
func (a *Actor) others(ctx context.Context) (int, error) {
	here := client.InNamespace(a.Namespace)
	backups, restores := &velerov1.PodVolumeBackupList{}, &velerov1.PodVolumeRestoreList{}
	if err := a.Client.List(ctx, backups, here, client.UnsafeDisableDeepCopy); err != nil {
		return 0, fmt.Errorf("listing pod volume backups: %w", err)
	}
	if err := a.Client.List(ctx, restores, here, client.UnsafeDisableDeepCopy); err != nil {
		return 0, fmt.Errorf("listing pod volume restores: %w", err)
	}
	wanted := 0
	for i := range backups.Items {
		if b := &backups.Items[i]; b.Spec.Node == a.Node && !b.IsFinished() && b.Annotations[velerov1.HoldAnnotation] == "" {
			wanted++
		}
	}
	for i := range restores.Items {
		if r := &restores.Items[i]; r.Status.Node == a.Node && !r.IsFinished() {
			wanted++
		}
	}
	return max(0, wanted-a.Ledger.Len()-1), nil
}

// refuse gives the slot of a mover back that will never be made.
func (a *Actor) refuse(ctx context.Context, key Key, err error) error {
	a.Triggers.Wake(ctx, a.Ledger.Release(key))
	return err
}

// awaitRoom registers for room, and looks again at once when there is some now.
func (a *Actor) awaitRoom(ctx context.Context, key Key) {
	if a.Ledger.Admit(key, math.MaxInt32) != slots.Unknown {
		a.Triggers.Wake(ctx, []Key{key})
	}
}

func (a *Actor) grant(ctx context.Context, m *Mover, now time.Time) error {
	patch := fmt.Appendf(nil, `{"metadata":{"uid":%q,"annotations":{%q:%q,%q:%q}}}`, m.UID,
		velerov1.SlotAnnotation, velerov1.SlotGranted, velerov1.SlotGrantedAtAnnotation, now.UTC().Format(time.RFC3339Nano))
	err := a.Client.Patch(ctx, podOf(m), client.RawPatch(types.MergePatchType, patch))
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("granting a slot to mover pod %s: %w", m.Name, err)
	}
	return nil
}

// remove deletes this very pod, and not one that has taken its name since.
func (a *Actor) remove(ctx context.Context, m *Mover) error {
	err := a.Client.Delete(ctx, podOf(m), client.Preconditions{UID: &m.UID})
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		return fmt.Errorf("deleting mover pod %s: %w", m.Name, err)
	}
	return nil
}

func podOf(m *Mover) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: m.Namespace, Name: m.Name, UID: m.UID}}
}

// ensureAdopted enters, once, the movers that an earlier node agent has left into
// the ledger, before anybody asks it for anything.
func (a *Actor) ensureAdopted(ctx context.Context) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.adopted {
		return nil
	}
	pods := &corev1.PodList{}
	err := a.Client.List(ctx, pods, client.InNamespace(a.Namespace),
		client.MatchingLabels{velerov1.MoverNodeLabel: velerov1.ValidLabelValue(a.Node)})
	if err != nil {
		return fmt.Errorf("listing mover pods: %w", err)
	}
	for _, mover := range Adoptable(pods.Items) {
		a.Ledger.Adopt(mover.Key, mover.Granted)
	}
	a.adopted = true
	return nil
}

// Adoption is a mover that another node agent has made.
type Adoption struct {
	Key     Key
	Granted bool
}

// Adoptable returns the movers that still need what the ledger has given them:
// those that have not ended.
func Adoptable(pods []corev1.Pod) []Adoption {
	var movers []Adoption
	for i := range pods {
		key, ok := KeyOf(&pods[i])
		m := MoverOf(&pods[i], "", moverlog.State{}, false)
		if ok && !m.Ended {
			movers = append(movers, Adoption{Key: key, Granted: m.Granted})
		}
	}
	return movers
}
