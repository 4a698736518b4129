package schedule

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/outcome"
	"github.com/podkeep/podkeep/internal/schedules"
)

// Reconciler reconciles the Schedules of one installation. SetupWithManager checks
// that every field is set.
type Reconciler struct {
	Client client.Client

	// Reader reads from the API server: a cache that is behind would miss the backup
	// that was made last.
	Reader client.Reader

	Clock    clock.PassiveClock
	Recorder events.EventRecorder

	// Namespace is the install namespace; schedules elsewhere are not looked at.
	Namespace string

	// SkipImmediately is spec.skipImmediately of schedules that do not say it.
	SkipImmediately bool
}

// +kubebuilder:rbac:groups=velero.io,resources=schedules,verbs=get;list;watch;patch,roleName=podkeep-server,namespace=velero
// +kubebuilder:rbac:groups=velero.io,resources=backups,verbs=get;list;watch;create,roleName=podkeep-server,namespace=velero
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch,roleName=podkeep-server,namespace=velero

// Reconcile makes the backup of a schedule that is due.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	s := &velerov1.Schedule{}
	if err := r.Client.Get(ctx, req.NamespacedName, s); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	before := s.DeepCopy()

	o, timetable, err := r.observe(ctx, s)
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("observing: %w", err)
	}
	next := plan(o)
	made, err := r.act(ctx, o, next)

	report(o, next, err)
	if perr := r.patch(ctx, before, s); perr != nil {
		return ctrl.Result{}, errors.Join(err, fmt.Errorf("patching: %w", perr))
	}
	r.tell(before, s, made)
	if err != nil {
		return outcome.Result(err)
	}
	if next.action == actCreate || next.action == actSkip {
		return ctrl.Result{RequeueAfter: untilNext(timetable.Next(base(s, o.now)), r.Clock.Now())}, nil
	}
	return ctrl.Result{RequeueAfter: next.after}, nil
}

// observe reads the cluster. It decides nothing.
func (r *Reconciler) observe(ctx context.Context, s *velerov1.Schedule) (observed, schedules.Timetable, error) {
	o := observed{schedule: s, now: r.Clock.Now(), skipByDefault: r.SkipImmediately}
	var timetable schedules.Timetable
	timetable, o.problems = schedules.Validate(s)
	if len(o.problems) > 0 {
		return o, timetable, nil
	}
	from := base(s, o.now)
	o.due, o.next = timetable.Latest(from, o.now), timetable.Next(from)
	if o.due.IsZero() || s.Spec.Paused {
		return o, timetable, nil
	}
	backups := &velerov1.BackupList{}
	err := r.Reader.List(ctx, backups, client.InNamespace(s.Namespace),
		client.MatchingLabels{velerov1.ScheduleNameLabel: velerov1.ValidLabelValue(s.Name)})
	if err != nil {
		return o, timetable, fmt.Errorf("listing backups: %w", err)
	}
	for i := range backups.Items {
		if b := &backups.Items[i]; b.IsRunning() && b.DeletionTimestamp.IsZero() && !isMade(b, o) {
			o.running = max(o.running, b.Name)
		}
	}
	return o, timetable, nil
}

// isMade reports whether a backup is the one that is due, made by a server that
// could not write it down.
func isMade(b *velerov1.Backup, o observed) bool {
	return b.Name == schedules.BackupName(o.schedule.Name, o.due) && b.Annotations[velerov1.ScheduleUIDAnnotation] == string(o.schedule.UID)
}

// act carries out one step and returns the name of the backup it has made, if it
// has made one. report writes all else.
func (r *Reconciler) act(ctx context.Context, o observed, s step) (string, error) {
	if s.action != actCreate {
		return "", nil
	}
	return r.create(ctx, o)
}

// maxNames bounds how many names are tried for one backup.
const maxNames = 10

// create makes the backup that is due. A backup of its name that somebody else has
// made, such as the same schedule of another cluster with the same bucket, must not
// take its place: then the name is that of a later second.
func (r *Reconciler) create(ctx context.Context, o observed) (string, error) {
	for i := range maxNames {
		b := schedules.NewBackup(o.schedule, o.due.Add(time.Duration(i)*time.Second))
		if b.Annotations == nil {
			b.Annotations = map[string]string{}
		}
		b.Annotations[velerov1.ScheduleUIDAnnotation] = string(o.schedule.UID)
		ours, err := r.ensure(ctx, b)
		switch {
		case apierrors.IsInvalid(err):
			return "", outcome.Terminalf(velerov1.ReasonInvalidSpec, "creating backup %s: %w", b.Name, err)
		case err != nil:
			return "", fmt.Errorf("creating backup %s: %w", b.Name, err)
		case ours:
			return b.Name, nil
		}
	}
	return "", fmt.Errorf("creating a backup: %d names from %s on are taken", maxNames, schedules.BackupName(o.schedule.Name, o.due))
}

// ensure creates a backup and reports whether the one of its name is ours.
func (r *Reconciler) ensure(ctx context.Context, b *velerov1.Backup) (bool, error) {
	uid := b.Annotations[velerov1.ScheduleUIDAnnotation]
	err := r.Client.Create(ctx, b)
	if !apierrors.IsAlreadyExists(err) {
		return err == nil, err
	}
	found := &velerov1.Backup{}
	if err := r.Reader.Get(ctx, client.ObjectKeyFromObject(b), found); err != nil {
		return false, err
	}
	return found.Annotations[velerov1.ScheduleUIDAnnotation] == uid, nil
}

// patch writes spec and status once per reconcile, and only when they changed.
func (r *Reconciler) patch(ctx context.Context, before, after *velerov1.Schedule) error {
	if equality.Semantic.DeepEqual(before, after) {
		return nil
	}
	return client.IgnoreNotFound(r.Client.Patch(ctx, after, client.MergeFrom(before)))
}

// tell emits the events of what has been written.
func (r *Reconciler) tell(before, after *velerov1.Schedule, made string) {
	if made != "" {
		r.Recorder.Eventf(after, nil, corev1.EventTypeNormal, "BackupCreated", "Create", "Backup %s created", made)
	}
	if !before.Status.LastSkipped.Equal(after.Status.LastSkipped) {
		r.Recorder.Eventf(after, nil, corev1.EventTypeNormal, "Skipped", "Skip", "Backups that were due are skipped (skipImmediately)")
	}
	if before.Status.Phase != after.Status.Phase && after.Status.Phase == velerov1.SchedulePhaseFailedValidation {
		r.Recorder.Eventf(after, nil, corev1.EventTypeWarning, velerov1.ReasonInvalidSpec, "Validate", "%s", oneLine(fmt.Sprint(after.Status.ValidationErrors)))
	}
}

// SetupWithManager registers the reconciler. It returns an error when a field is
// missing.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	missing := map[string]bool{
		"Client": r.Client == nil, "Reader": r.Reader == nil, "Clock": r.Clock == nil, "Recorder": r.Recorder == nil, "Namespace": r.Namespace == "",
	}
	for _, name := range slices.Sorted(maps.Keys(missing)) {
		if missing[name] {
			return fmt.Errorf("setting up schedule controller: field %s is not set", name)
		}
	}
	ours := predicate.NewPredicateFuncs(func(o client.Object) bool { return o.GetNamespace() == r.Namespace })
	return ctrl.NewControllerManagedBy(mgr).
		Named("schedule").
		For(&velerov1.Schedule{}, builder.WithPredicates(ours, specChanged())).
		Watches(&velerov1.Backup{}, handler.EnqueueRequestsFromMapFunc(r.ofBackup), builder.WithPredicates(ours, backupEnds())).
		Complete(r)
}

// specChanged drops the updates that the reconciler's own patches of the status
// cause.
func specChanged() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, okBefore := e.ObjectOld.(*velerov1.Schedule)
		after, okAfter := e.ObjectNew.(*velerov1.Schedule)
		return !okBefore || !okAfter || !equality.Semantic.DeepEqual(before.Spec, after.Spec)
	}}
}

// backupEnds lets through what a schedule may wait for.
func backupEnds() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc: func(event.CreateEvent) bool { return false },
		UpdateFunc: func(e event.UpdateEvent) bool {
			before, okBefore := e.ObjectOld.(*velerov1.Backup)
			after, okAfter := e.ObjectNew.(*velerov1.Backup)
			return okBefore && okAfter && before.IsRunning() && !after.IsRunning()
		},
	}
}

// ofBackup returns the schedule that has made a backup. Its label may be shorter
// than the schedule's name.
func (r *Reconciler) ofBackup(ctx context.Context, b client.Object) []reconcile.Request {
	label := b.GetLabels()[velerov1.ScheduleNameLabel]
	if label == "" {
		return nil
	}
	list := &velerov1.ScheduleList{}
	if err := r.Client.List(ctx, list, client.InNamespace(r.Namespace)); err != nil {
		// A cached list fails only while the manager stops.
		ctrl.LoggerFrom(ctx).Error(err, "Listing schedules")
		return nil
	}
	var requests []reconcile.Request
	for i := range list.Items {
		if velerov1.ValidLabelValue(list.Items[i].Name) == label {
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
		}
	}
	return requests
}
