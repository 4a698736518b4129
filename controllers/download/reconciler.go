package download

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/internal/location"
)

// maxConcurrentRequests keeps a storage that does not answer from making all
// readers wait.
const maxConcurrentRequests = 4

// Reconciler answers the DownloadRequests of one installation.
type Reconciler struct {
	Client client.Client

	// Reader reads the request from the API server: with a cache that is behind, it
	// would be given a second address in place of the first.
	Reader client.Reader

	Locations Locations
	Clock     clock.PassiveClock

	// Namespace is the install namespace; requests elsewhere are not looked at.
	Namespace string

	// BaseURL begins the addresses of files that the server serves, for locations
	// that have no publicUrl: http(s)://host[:port].
	BaseURL string

	// Token makes the part of such an address that nobody can guess
	// (crypto/rand.Text).
	Token func() string
}

// +kubebuilder:rbac:groups=velero.io,resources=downloadrequests,verbs=get;list;watch;patch;delete,roleName=podkeep-server,namespace=velero
// +kubebuilder:rbac:groups=velero.io,resources=backups;restores;backupstoragelocations,verbs=get;list;watch,roleName=podkeep-server,namespace=velero
// +kubebuilder:rbac:groups="",resources=secrets,verbs=get;list;watch,roleName=podkeep-server,namespace=velero

// Reconcile answers one request, or deletes it when its time is over.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	request := &velerov1.DownloadRequest{}
	if err := r.Reader.Get(ctx, req.NamespacedName, request); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	before := request.DeepCopy()

	o, err := r.observe(ctx, request)
	if err != nil {
		return ctrl.Result{}, fmt.Errorf("observing: %w", err)
	}
	s := plan(o)
	if s.action == actDelete {
		return ctrl.Result{}, client.IgnoreNotFound(r.Client.Delete(ctx, request, client.Preconditions{UID: &request.UID}))
	}
	a := r.act(ctx, o, s)
	if ctx.Err() != nil {
		return ctrl.Result{}, ctx.Err() // the server stops; that says nothing about the file
	}
	if a.obstacle != nil {
		s.after = retryInterval
	}

	report(o, s, a)
	if equality.Semantic.DeepEqual(before, request) {
		return ctrl.Result{RequeueAfter: s.after}, nil
	}
	if err := r.Client.Patch(ctx, request, client.MergeFrom(before)); client.IgnoreNotFound(err) != nil {
		return ctrl.Result{}, fmt.Errorf("patching status: %w", err)
	}
	return ctrl.Result{RequeueAfter: s.after}, nil
}

// observe reads the cluster. It decides nothing.
func (r *Reconciler) observe(ctx context.Context, request *velerov1.DownloadRequest) (observed, error) {
	o := observed{request: request, now: r.Clock.Now()}
	if isAnswered(request, o.now) {
		return o, nil
	}
	var err error
	find := finder{reader: r.Client, locations: r.Locations, namespace: r.Namespace}
	o.file, o.obstacle, err = find.find(ctx, request.Spec.Target)
	return o, err
}

// answer is an address, or why there is none.
type answer struct {
	url      string
	obstacle *obstacle

	// remark is what is wrong with the file, although it has an address.
	remark *obstacle
}

// act makes the address. It changes nothing but what is remembered of the request.
func (r *Reconciler) act(ctx context.Context, o observed, s step) answer {
	if s.action != actAddress {
		return answer{obstacle: o.obstacle}
	}
	url, err := r.address(ctx, o)
	if err != nil {
		return answer{obstacle: obstacleOf(err)}
	}
	exists, err := o.file.store.Exists(ctx, o.file.key)
	switch {
	case err != nil:
		// The reader may have better luck, and is told otherwise.
		return answer{url: url, remark: obstacleOf(err)}
	case !exists:
		return answer{url: url, remark: notThere(o.file)}
	default:
		return answer{url: url}
	}
}

// address signs one, or makes one of the file server.
func (r *Reconciler) address(ctx context.Context, o observed) (string, error) {
	l, err := location.New(o.file.location)
	if err != nil {
		return "", err
	}
	url, err := o.file.store.Presign(ctx, o.file.key, lifetime)
	if !errors.Is(err, errors.ErrUnsupported) {
		return url, err
	}
	base := l.PublicURL()
	if base == "" {
		base = r.BaseURL
	}
	return base + servedPath(o.request.Name, r.Token()), nil
}

// SetupWithManager starts the reconciler with a manager. It returns an error when
// a field is missing.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	missing := map[string]bool{
		"Client": r.Client == nil, "Reader": r.Reader == nil, "Locations": r.Locations == nil, "Clock": r.Clock == nil,
		"Namespace": r.Namespace == "", "BaseURL": r.BaseURL == "", "Token": r.Token == nil,
	}
	for field, isMissing := range missing {
		if isMissing {
			return fmt.Errorf("setting up download controller: field %s is not set", field)
		}
	}
	ours := predicate.NewPredicateFuncs(func(o client.Object) bool { return o.GetNamespace() == r.Namespace })
	// A request is asked once. That the reconciler writes its status is no news.
	created := predicate.Funcs{UpdateFunc: func(event.UpdateEvent) bool { return false }}
	return ctrl.NewControllerManagedBy(mgr).
		Named("downloadrequest").
		For(&velerov1.DownloadRequest{}, builder.WithPredicates(ours, created)).
		WithOptions(controller.Options{MaxConcurrentReconciles: maxConcurrentRequests}).
		Complete(r)
}
