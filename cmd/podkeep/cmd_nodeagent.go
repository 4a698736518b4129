package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/podkeep/podkeep/config/install"
	"github.com/podkeep/podkeep/nodeagent"
	"github.com/podkeep/podkeep/nodeagent/movement"
)

type nodeAgentFlags struct {
	roleFlags
	node           string
	configMap      string
	hostPods       string
	prepareTimeout time.Duration
	storageTimeout time.Duration
	ignored        ignoredFlags
}

func newNodeAgentCommand(env func(string) string) *cobra.Command {
	var flags nodeAgentFlags
	cmd := &cobra.Command{
		Use:    "node-agent",
		Hidden: true,
		Short:  "Move the volumes of the pods of one node",
		Args:   cobra.NoArgs,
		RunE:   func(cmd *cobra.Command, _ []string) error { return runNodeAgent(cmd.Context(), flags) },
	}
	flags.bind(cmd, env)
	fs := cmd.Flags()
	fs.StringVar(&flags.node, "node", env("NODE_NAME"), "name of this node (default: NODE_NAME)")
	fs.StringVar(&flags.configMap, "node-agent-configmap", "", "name of the ConfigMap with the settings")
	fs.StringVar(&flags.hostPods, "host-pods", "/host_pods", "where the kubelet's pods directory is mounted")
	fs.DurationVar(&flags.prepareTimeout, "data-mover-prepare-timeout", movement.DefaultLimits().Prepare, "time for a mover to start")
	fs.DurationVar(&flags.storageTimeout, "storage-timeout", 2*time.Minute, "how long a mover tries one operation of the object storage")
	flags.bindClient(cmd)
	flags.ignored.bind(cmd, map[string]string{
		"resource-timeout":            "a node agent waits for nothing that it bounds",
		"backup-repository-configmap": "it is the server's",
	})
	return cmd
}

func runNodeAgent(ctx context.Context, flags nodeAgentFlags) error {
	if err := flags.validate(); err != nil {
		return err
	}
	if flags.node == "" || flags.podName == "" {
		return fmt.Errorf("--node and --pod-name: Required values: name this pod and its node, or set NODE_NAME and POD_NAME")
	}
	for _, note := range flags.ignored.notes() {
		ctrl.Log.Info("Reading flags of Velero", "note", note)
	}
	mgr, err := flags.newManager(managerOptions{
		cache:    nodeagent.CacheOptions(flags.namespace, flags.node),
		uncached: []client.Object{&corev1.PersistentVolume{}, &corev1.PersistentVolumeClaim{}},
	})
	if err != nil {
		return err
	}
	options, warnings, err := nodeagent.ReadOptions(ctx, mgr.GetAPIReader(), flags.identity())
	if err != nil {
		return err
	}
	for _, w := range warnings {
		ctrl.Log.Info("Ignoring setting", "reason", w)
	}
	options.Limits.Prepare = flags.prepareTimeout
	options.Template.StorageTimeout = flags.storageTimeout
	if err := nodeagent.Setup(mgr, options); err != nil {
		return err
	}
	return start(ctx, mgr)
}

func (f *nodeAgentFlags) identity() nodeagent.Identity {
	return nodeagent.Identity{
		Namespace: f.namespace,
		PodName:   f.podName,
		Node:      f.node,
		ConfigMap: f.configMap,
		HostPods:  os.DirFS(f.hostPods),
		Credentials: &corev1.SecretKeySelector{
			LocalObjectReference: corev1.LocalObjectReference{Name: install.CredentialsSecret}, Key: install.CredentialsKey,
		},
		RepositoryPassword: corev1.SecretKeySelector{
			LocalObjectReference: corev1.LocalObjectReference{Name: install.RepositorySecret}, Key: install.RepositoryPasswordKey,
		},
	}
}
