// Package nodeagent moves the volumes of the pods of one node: it reconciles the
// PodVolumeBackups and PodVolumeRestores of the node by making mover pods.
//
// Setup wires the parts into a manager: nodeagent/backup and nodeagent/restore
// decide, nodeagent/movement acts for both, nodeagent/slots accounts for movers,
// nodeagent/moverlog listens to them. ReadOptions finds out what the node agent
// is told by the cluster. All state is in the API: an agent that is restarted goes
// on where the last one stopped. See docs/node-agent.md.
package nodeagent

import (
	"errors"
	"fmt"
	"io/fs"
	"path"

	corev1 "k8s.io/api/core/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	crmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/podkeep/podkeep/internal/nodeagentconfig"
	"github.com/podkeep/podkeep/nodeagent/backup"
	"github.com/podkeep/podkeep/nodeagent/movement"
	"github.com/podkeep/podkeep/nodeagent/moverlog"
	"github.com/podkeep/podkeep/nodeagent/moverpod"
	"github.com/podkeep/podkeep/nodeagent/restore"
	"github.com/podkeep/podkeep/nodeagent/slots"
	"github.com/podkeep/podkeep/nodeagent/volumemetrics"
)

// recorderName is the reporting controller of the node agent's events.
const recorderName = "podkeep-node-agent"

// Options is what a node agent needs to know. ReadOptions fills most of it.
type Options struct {
	Namespace string // of the install
	Node      string

	// HostPods is the kubelet's pods directory as this process sees it
	// (os.DirFS("/host_pods")), HostPodsPath where it is on the node.
	HostPods     fs.FS
	HostPodsPath string

	// Template is what all mover pods have in common. Credentials,
	// RepositoryPassword and ServiceAccountName are not in the node agent's pod.
	Template moverpod.Template

	// Settings is the node agent's ConfigMap.
	Settings nodeagentconfig.Settings

	// Limits bound how long things may take; movement.DefaultLimits has Velero's
	// prepare timeout.
	Limits movement.Limits

	Clock clock.Clock
}

func (o Options) validate() error {
	var problems []error
	for name, isMissing := range map[string]bool{
		"Namespace":                       o.Namespace == "",
		"Node":                            o.Node == "",
		"HostPods":                        o.HostPods == nil,
		"HostPodsPath":                    o.HostPodsPath == "",
		"Template.Image":                  o.Template.Image == "",
		"Template.RepositoryPassword.Key": o.Template.RepositoryPassword.Key == "",
		"Limits.Prepare":                  o.Limits.Prepare <= 0,
		"Limits.Movers":                   o.Limits.Movers <= 0,
		"Clock":                           o.Clock == nil,
	} {
		if isMissing {
			problems = append(problems, fmt.Errorf("option %s is not set", name))
		}
	}
	return errors.Join(problems...)
}

// Setup registers the node agent with a manager whose cache has CacheOptions and
// whose scheme has the core and velero.io/v1 kinds. The manager needs no leader
// election: each node's agent minds its own node.
func Setup(mgr ctrl.Manager, o Options) error {
	if err := o.validate(); err != nil {
		return fmt.Errorf("setting up the node agent: %w", err)
	}
	logs, err := podLogs(mgr)
	if err != nil {
		return err
	}
	ledger := slots.New[movement.Key](o.Settings.Slots, o.Settings.PrepareQueueLength)
	triggers := movement.NewTriggers(o.Namespace)
	follower := &moverlog.Follower{
		Logs: logs, Clock: o.Clock, Begun: containerIsMade(o.HostPods), Notify: movement.Listener(ledger, triggers),
	}
	if err := mgr.Add(follower); err != nil {
		return fmt.Errorf("adding the follower of mover logs: %w", err)
	}
	actor := &movement.Actor{
		Client:    mgr.GetClient(),
		Reader:    mgr.GetAPIReader(),
		Namespace: o.Namespace,
		Node:      o.Node,
		Limits:    o.Limits,
		Ledger:    ledger,
		Logs:      follower,
		Triggers:  triggers,
	}
	world := movement.World{
		Client:       mgr.GetClient(),
		Reader:       mgr.GetAPIReader(),
		Namespace:    o.Namespace,
		HostPods:     o.HostPods,
		HostPodsPath: o.HostPodsPath,
	}
	metrics, err := volumemetrics.New(crmetrics.Registry, o.Node)
	if err != nil {
		return err
	}
	return errors.Join(
		(&backup.Reconciler{
			Client: mgr.GetClient(), Clock: o.Clock, Namespace: o.Namespace, Node: o.Node,
			World: world, Actor: actor, Template: o.Template, Compression: o.Settings.Compression,
			Recorder: mgr.GetEventRecorder(recorderName), Metrics: metrics,
		}).SetupWithManager(mgr),
		(&restore.Reconciler{
			Client: mgr.GetClient(), Clock: o.Clock, Namespace: o.Namespace, Node: o.Node,
			World: world, Actor: actor, Template: o.Template,
			Recorder: mgr.GetEventRecorder(recorderName),
		}).SetupWithManager(mgr),
	)
}

// containerIsMade looks for the folder of the termination message, which the
// kubelet makes just before the container (k8s.io/kubernetes/pkg/kubelet,
// GenerateRunContainerOptions).
func containerIsMade(hostPods fs.FS) func(moverlog.Target) bool {
	return func(t moverlog.Target) bool {
		_, err := fs.Stat(hostPods, path.Join(string(t.UID), "containers", moverpod.ContainerName))
		return err == nil
	}
}

// podLogs opens logs with a client of its own: following many logs must neither
// wait for other requests nor end with their timeout.
func podLogs(mgr ctrl.Manager) (moverlog.PodLogs, error) {
	config := rest.CopyConfig(mgr.GetConfig())
	config.Timeout = 0
	config.QPS = -1
	client, err := corev1client.NewForConfig(config)
	if err != nil {
		return moverlog.PodLogs{}, fmt.Errorf("creating client for %s: %w", corev1.ResourcePods, err)
	}
	return moverlog.PodLogs{Pods: client, Container: moverpod.ContainerName}, nil
}
