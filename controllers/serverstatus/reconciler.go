package serverstatus

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
)

// Reconciler answers the ServerStatusRequests of one installation.
type Reconciler struct {
	Client client.Client
	Clock  clock.PassiveClock

	// Namespace is the install namespace; requests elsewhere are not looked at.
	Namespace string

	// Version is that of the server.
	Version string
}

// +kubebuilder:rbac:groups=velero.io,resources=serverstatusrequests,verbs=get;list;watch;patch;delete,roleName=podkeep-server,namespace=velero

// Reconcile answers one request, or deletes it when its time is over.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	request := &velerov1.ServerStatusRequest{}
	if err := r.Client.Get(ctx, req.NamespacedName, request); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	before := request.DeepCopy()

	o := observed{request: request, now: r.Clock.Now()}
	s := plan(o)
	if s.action == actDelete {
		return ctrl.Result{}, client.IgnoreNotFound(r.Client.Delete(ctx, request, client.Preconditions{UID: &request.UID}))
	}
	report(o, s, r.Version)
	if equality.Semantic.DeepEqual(before, request) {
		return ctrl.Result{RequeueAfter: s.after}, nil
	}
	if err := r.Client.Patch(ctx, request, client.MergeFrom(before)); client.IgnoreNotFound(err) != nil {
		return ctrl.Result{}, fmt.Errorf("patching status: %w", err)
	}
	return ctrl.Result{RequeueAfter: s.after}, nil
}

// SetupWithManager starts the reconciler with a manager. It returns an error when
// a field is missing.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	missing := map[string]bool{"Client": r.Client == nil, "Clock": r.Clock == nil, "Namespace": r.Namespace == "", "Version": r.Version == ""}
	for field, isMissing := range missing {
		if isMissing {
			return fmt.Errorf("setting up server status controller: field %s is not set", field)
		}
	}
	ours := predicate.NewPredicateFuncs(func(o client.Object) bool { return o.GetNamespace() == r.Namespace })
	return ctrl.NewControllerManagedBy(mgr).
		Named("serverstatusrequest").
		For(&velerov1.ServerStatusRequest{}, builder.WithPredicates(ours)).
		Complete(r)
}
