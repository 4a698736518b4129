package maintenance

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/location"
	"github.com/podkeep/podkeep/internal/locationaccess"
	"github.com/podkeep/podkeep/internal/repositoryconfig"
)

// Resolver makes a location usable (locationaccess.Resolver).
type Resolver interface {
	Resolve(ctx context.Context, bsl *velerov1.BackupStorageLocation) (location.Location, error)
}

// Reconciler maintains the BackupRepositories of one installation.
// SetupWithManager checks that every field but ConfigMap is set.
type Reconciler struct {
	// Client writes, and reads from the cache.
	Client client.Client

	// Reader reads pods and ConfigMaps from the API server.
	Reader client.Reader

	Locations Resolver
	Clock     clock.PassiveClock
	Recorder  events.EventRecorder

	// Namespace is the install namespace, in which the Jobs run; PodName is the
	// server's own pod, which they are like.
	Namespace string
	PodName   string

	// ConfigMap is the name of the ConfigMap with settings of the Jobs; "" means none.
	ConfigMap string

	// Credentials is the key of the Secret for locations that name none.
	Credentials *corev1.SecretKeySelector
}

// +kubebuilder:rbac:groups=velero.io,resources=backuprepositories,verbs=get;list;watch;patch,roleName=podkeep-server,namespace=velero
// +kubebuilder:rbac:groups=velero.io,resources=backupstoragelocations,verbs=get;list;watch,roleName=podkeep-server,namespace=velero
// +kubebuilder:rbac:groups=batch,resources=jobs,verbs=get;list;watch;create;delete,roleName=podkeep-server,namespace=velero
// +kubebuilder:rbac:groups="",resources=pods,verbs=get;list,roleName=podkeep-server,namespace=velero
// +kubebuilder:rbac:groups="",resources=configmaps,verbs=get,roleName=podkeep-server,namespace=velero
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch,roleName=podkeep-server,namespace=velero
// +kubebuilder:rbac:groups=scheduling.k8s.io,resources=priorityclasses,verbs=get,roleName=podkeep-server

// Reconcile maintains one repository when it is due, and writes down what came of
// it.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	repo := &velerov1.BackupRepository{}
	if err := r.Client.Get(ctx, req.NamespacedName, repo); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	before := repo.DeepCopy()

	o, err := r.observe(ctx, repo)
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("observing: %w", err)
	}
	s := plan(o)
	if err := r.act(ctx, o, s); err != nil {
		return ctrl.Result{}, err
	}

	report(o, s)
	if err := r.patch(ctx, before, repo); err != nil {
		return ctrl.Result{}, fmt.Errorf("patching status: %w", err)
	}
	r.tell(before, o)
	return ctrl.Result{RequeueAfter: s.after}, nil
}

// observe reads the cluster. It decides nothing.
func (r *Reconciler) observe(ctx context.Context, repo *velerov1.BackupRepository) (observed, error) {
	o := observed{repository: repo, now: r.Clock.Now()}
	bsl := &velerov1.BackupStorageLocation{}
	err := r.Client.Get(ctx, client.ObjectKey{Namespace: r.Namespace, Name: repo.Spec.BackupStorageLocation}, bsl)
	switch {
	case err == nil:
		o.location = bsl
	case !apierrors.IsNotFound(err):
		return o, fmt.Errorf("getting BackupStorageLocation %s: %w", repo.Spec.BackupStorageLocation, err)
	}
	if err := observeJobs(ctx, r.Client, &o); err != nil {
		return o, err
	}
	switch s := plan(o); s.action {
	case actStart:
		// The cache may not know the newest Jobs yet, of which there must not be too many.
		return o, observeJobs(ctx, r.Reader, &o)
	case actRecord, actGiveUp:
		o.pod, err = r.podOf(ctx, s.job)
		return o, err
	default:
		return o, nil
	}
}

func observeJobs(ctx context.Context, reader client.Reader, o *observed) error {
	list := &batchv1.JobList{}
	err := reader.List(ctx, list, client.InNamespace(o.repository.Namespace), client.HasLabels{velerov1.RepositoryNameLabel})
	if err != nil {
		return fmt.Errorf("listing Jobs: %w", err)
	}
	o.jobs, o.running = nil, 0
	for _, j := range list.Items {
		if !isFinished(&j) {
			o.running++
		}
		if j.Labels[velerov1.RepositoryNameLabel] == velerov1.RepositoryNameLabelValue(o.repository.Name) {
			o.jobs = append(o.jobs, j)
		}
	}
	slices.SortFunc(o.jobs, func(a, b batchv1.Job) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	return nil
}

// podOf returns the pod of a Job, or nil.
func (r *Reconciler) podOf(ctx context.Context, j *batchv1.Job) (*corev1.Pod, error) {
	pods := &corev1.PodList{}
	err := r.Reader.List(ctx, pods, client.InNamespace(r.Namespace), client.MatchingLabels{batchv1.JobNameLabel: j.Name})
	if err != nil {
		return nil, fmt.Errorf("listing pods of Job %s: %w", j.Name, err)
	}
	if len(pods.Items) == 0 {
		return nil, nil
	}
	return &pods.Items[0], nil
}

// act carries out one step. Every action is idempotent: a crash before report
// repeats it.
func (r *Reconciler) act(ctx context.Context, o observed, s step) error {
	switch s.action {
	case actStart:
		return r.start(ctx, o)
	case actRecord:
		current, _ := r.settings(ctx, o.repository)
		return r.removeJobs(ctx, surplus(o, s.job, current.KeepJobs))
	case actGiveUp:
		return r.removeJobs(ctx, []batchv1.Job{*s.job})
	default:
		return nil
	}
}

// start makes the Job. A name that is taken is success: it is this Job.
func (r *Reconciler) start(ctx context.Context, o observed) error {
	q := request{
		repository: o.repository, location: o.location,
		password: &corev1.SecretKeySelector{
			LocalObjectReference: corev1.LocalObjectReference{Name: locationaccess.RepositorySecret}, Key: locationaccess.RepositoryPasswordKey,
		},
	}
	var problems []string
	q.settings, problems = r.settings(ctx, o.repository)
	if len(problems) > 0 {
		r.Recorder.Eventf(o.repository, nil, corev1.EventTypeWarning, velerov1.ReasonInvalidSpec, "Maintain",
			"Settings of ConfigMap %s are not used: %s", r.ConfigMap, strings.Join(problems, "; "))
	}
	resolved, err := r.Locations.Resolve(ctx, o.location)
	if err != nil {
		return fmt.Errorf("resolving location %s: %w", o.location.Name, err)
	}
	if resolved.CredentialsFile != "" {
		q.credentials = cmp.Or(o.location.Spec.Credential, r.Credentials)
	}
	q.server = &corev1.Pod{}
	if err := r.Reader.Get(ctx, client.ObjectKey{Namespace: r.Namespace, Name: r.PodName}, q.server); err != nil {
		return fmt.Errorf("getting the server's own pod %s: %w", r.PodName, err)
	}
	job, err := build(q)
	if err != nil {
		return fmt.Errorf("building Job: %w", err)
	}
	ctrl.LoggerFrom(ctx).Info("Starting maintenance", "Job", job.Name)
	if err := r.Client.Create(ctx, job); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("creating Job %s: %w", job.Name, err)
	}
	return nil
}

// settings reads the ConfigMap, and says what in it is not used.
func (r *Reconciler) settings(ctx context.Context, repo *velerov1.BackupRepository) (repositoryconfig.Maintenance, []string) {
	if r.ConfigMap == "" {
		s, _ := repositoryconfig.ParseMaintenance(nil, repo.Name)
		return s, nil
	}
	configMap := &corev1.ConfigMap{}
	if err := r.Reader.Get(ctx, client.ObjectKey{Namespace: r.Namespace, Name: r.ConfigMap}, configMap); err != nil {
		s, _ := repositoryconfig.ParseMaintenance(nil, repo.Name)
		return s, []string{err.Error()}
	}
	s, found := repositoryconfig.ParseMaintenance(configMap.Data, repo.Name)
	problems := found.All()
	if s.PriorityClassName != "" {
		err := r.Reader.Get(ctx, client.ObjectKey{Name: s.PriorityClassName}, &schedulingv1.PriorityClass{})
		if err != nil {
			problems = append(problems, fmt.Sprintf("priorityClassName: %v", err))
			s.PriorityClassName = "" // with it, no pod could be made
		}
	}
	return s, problems
}

func (r *Reconciler) removeJobs(ctx context.Context, jobs []batchv1.Job) error {
	var errs []error
	for i := range jobs {
		err := r.Client.Delete(ctx, &jobs[i], client.PropagationPolicy(metav1.DeletePropagationBackground), client.Preconditions{UID: &jobs[i].UID})
		if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
			errs = append(errs, fmt.Errorf("deleting Job %s: %w", jobs[i].Name, err))
		}
	}
	return errors.Join(errs...)
}

// patch writes the status once per reconcile, and only when it changed. There is no
// status subresource. Conditions are one list, of which another controller writes a
// part: a patch that was made without its newest one is refused.
func (r *Reconciler) patch(ctx context.Context, before, after *velerov1.BackupRepository) error {
	if equality.Semantic.DeepEqual(before, after) {
		return nil
	}
	return client.IgnoreNotFound(r.Client.Patch(ctx, after, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})))
}

// tell emits the events of what has been written.
func (r *Reconciler) tell(before *velerov1.BackupRepository, o observed) {
	runs := o.repository.Status.RecentMaintenance
	if equality.Semantic.DeepEqual(before.Status.RecentMaintenance, runs) || len(runs) == 0 {
		return
	}
	switch last := runs[len(runs)-1]; last.Result {
	case velerov1.BackupRepositoryMaintenanceFailed:
		r.Recorder.Eventf(o.repository, nil, corev1.EventTypeWarning, velerov1.ReasonMaintenanceFailed, "Maintain", "Maintenance failed: %s", last.Message)
	default:
		r.Recorder.Eventf(o.repository, nil, corev1.EventTypeNormal, "Maintained", "Maintain", "Maintenance done (cycle: %s)", cmp.Or(cycleOf(o.pod), "unknown"))
	}
}

// prepare checks the fields.
func (r *Reconciler) prepare() error {
	missing := map[string]bool{
		"Client": r.Client == nil, "Reader": r.Reader == nil, "Locations": r.Locations == nil, "Clock": r.Clock == nil,
		"Recorder": r.Recorder == nil, "Namespace": r.Namespace == "", "PodName": r.PodName == "", "Credentials": r.Credentials == nil,
	}
	for _, name := range slices.Sorted(maps.Keys(missing)) {
		if missing[name] {
			return fmt.Errorf("setting up maintenance controller: field %s is not set", name)
		}
	}
	return nil
}
