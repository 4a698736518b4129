package nodeagent

import (
	"context"
	"fmt"
	"io/fs"

	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/podkeep/podkeep/internal/nodeagentconfig"
	"github.com/podkeep/podkeep/nodeagent/movement"
	"github.com/podkeep/podkeep/nodeagent/moverpod"
)

// Identity is what a node agent is told by its flags.
type Identity struct {
	Namespace string // of the install
	PodName   string // of the node agent
	Node      string

	// ConfigMap names the ConfigMap with the settings; "" means the defaults.
	ConfigMap string

	// HostPods is the kubelet's pods directory as this process sees it.
	HostPods fs.FS

	// Credentials and RepositoryPassword are the install's Secrets, which movers
	// mount. Nil Credentials mean that locations without their own are reached with
	// the identity of the mover's pod.
	Credentials        *corev1.SecretKeySelector
	RepositoryPassword corev1.SecretKeySelector

	// MoverServiceAccount is the service account of mover pods; "" means the
	// namespace's default. Its token is never mounted.
	MoverServiceAccount string
}

// +kubebuilder:rbac:groups="",namespace=velero,resources=configmaps,verbs=get
// +kubebuilder:rbac:groups="",resources=nodes,verbs=get
// +kubebuilder:rbac:groups=scheduling.k8s.io,resources=priorityclasses,verbs=get

// ReadOptions reads the node agent's own pod, its node and its ConfigMap, and
// returns the options for Setup with the default limits and a real clock. The
// warnings are about settings that have no effect, for the log.
func ReadOptions(ctx context.Context, r client.Reader, id Identity) (Options, []string, error) {
	o := Options{
		Namespace: id.Namespace,
		Node:      id.Node,
		HostPods:  id.HostPods,
		Limits:    movement.DefaultLimits(),
		Clock:     clock.RealClock{},
	}
	agent := &corev1.Pod{}
	if err := r.Get(ctx, client.ObjectKey{Namespace: id.Namespace, Name: id.PodName}, agent); err != nil {
		return o, nil, fmt.Errorf("getting the node agent's own pod %s: %w", id.PodName, err)
	}
	s, warnings, err := readSettings(ctx, r, id)
	if err != nil {
		return o, nil, err
	}
	o.Settings = s
	if o.HostPodsPath, err = moverpod.HostPodsPath(agent); err != nil {
		return o, nil, err
	}
	if o.Template, err = moverpod.TemplateFor(agent, s); err != nil {
		return o, nil, err
	}
	o.Template.Node = id.Node
	o.Template.Credentials = id.Credentials
	o.Template.RepositoryPassword = id.RepositoryPassword
	o.Template.ServiceAccountName = id.MoverServiceAccount
	return o, warnings, nil
}

// readSettings reads the ConfigMap for this node. A priority class that does not
// exist is left out, as in Velero: with it, no mover could be made.
func readSettings(ctx context.Context, r client.Reader, id Identity) (nodeagentconfig.Settings, []string, error) {
	s := nodeagentconfig.Defaults()
	if id.ConfigMap == "" {
		return s, nil, nil
	}
	configMap, node := &corev1.ConfigMap{}, &corev1.Node{}
	if err := r.Get(ctx, client.ObjectKey{Namespace: id.Namespace, Name: id.ConfigMap}, configMap); err != nil {
		return s, nil, fmt.Errorf("getting ConfigMap %s: %w", id.ConfigMap, err)
	}
	if err := r.Get(ctx, client.ObjectKey{Name: id.Node}, node); err != nil {
		return s, nil, fmt.Errorf("getting node %s: %w", id.Node, err)
	}
	s, warnings, err := nodeagentconfig.Parse(configMap.Data, node.Labels)
	if err != nil {
		return s, nil, fmt.Errorf("reading ConfigMap %s: %w", id.ConfigMap, err)
	}
	if s.PriorityClassName == "" {
		return s, warnings, nil
	}
	err = r.Get(ctx, client.ObjectKey{Name: s.PriorityClassName}, &schedulingv1.PriorityClass{})
	switch {
	case apierrors.IsNotFound(err):
		warnings = append(warnings, fmt.Sprintf("priorityClassName: priority class %q does not exist, ignored", s.PriorityClassName))
		s.PriorityClassName = ""
	case err != nil:
		return s, nil, fmt.Errorf("getting priority class %s: %w", s.PriorityClassName, err)
	}
	return s, warnings, nil
}
