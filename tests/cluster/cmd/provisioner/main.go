// Command provisioner makes the PersistentVolumes of StorageClass "local": a
// folder on the node for each claim, as a volume of type local. The folder is
// removed with the volume.
//
// It runs as a component of the test cluster's node, in the node's mount
// namespace, and is the same as sig-storage's local path provisioners in what
// its users see: WaitForFirstConsumer, node affinity, no size limit.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"
)

// provisionerName is what the StorageClass names.
const provisionerName = "podkeep.test/local"

func main() {
	kubeconfig := flag.String("kubeconfig", "", "kubeconfig `file`")
	root := flag.String("root", "/srv/volumes", "`folder` of the volumes on the node")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *kubeconfig, *root); err != nil {
		fmt.Fprintln(os.Stderr, "provisioner:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, kubeconfig, root string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return fmt.Errorf("reading kubeconfig %s: %w", kubeconfig, err)
	}
	// Tests make tens of claims at once.
	config.QPS, config.Burst = 100, 200
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("making the client: %w", err)
	}
	controller.NewProvisionController(ctx, client, provisionerName, folders{root: root},
		controller.LeaderElection(false), // there is one
		controller.RetryIntervalMax(5*time.Second),
	).Run(ctx)
	return nil
}

// folders makes and removes volumes that are folders below root.
type folders struct {
	root string
}

// Provision implements controller.Provisioner. A pod may run
// as any user, so everyone may write.
func (f folders) Provision(_ context.Context, o controller.ProvisionOptions) (*corev1.PersistentVolume, controller.ProvisioningState, error) {
	if o.SelectedNodeName == "" {
		return nil, controller.ProvisioningFinished, fmt.Errorf("claim %s/%s has no node: the class must be WaitForFirstConsumer", o.PVC.Namespace, o.PVC.Name)
	}
	dir := filepath.Join(f.root, o.PVName)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, controller.ProvisioningFinished, fmt.Errorf("making the folder of volume %s: %w", o.PVName, err)
	}
	// The mode of MkdirAll is subject to the umask.
	if err := os.Chmod(dir, 0o777); err != nil {
		return nil, controller.ProvisioningFinished, fmt.Errorf("opening the folder of volume %s: %w", o.PVName, err)
	}
	return volume(o, dir), controller.ProvisioningFinished, nil
}

// Delete implements controller.Provisioner.
func (f folders) Delete(_ context.Context, pv *corev1.PersistentVolume) error {
	if err := os.RemoveAll(filepath.Join(f.root, pv.Name)); err != nil {
		return fmt.Errorf("removing the folder of volume %s: %w", pv.Name, err)
	}
	return nil
}

func volume(o controller.ProvisionOptions, dir string) *corev1.PersistentVolume {
	onNode := corev1.NodeSelectorRequirement{
		Key: corev1.LabelHostname, Operator: corev1.NodeSelectorOpIn, Values: []string{o.SelectedNodeName},
	}
	return &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: o.PVName},
		Spec: corev1.PersistentVolumeSpec{
			PersistentVolumeReclaimPolicy: *o.StorageClass.ReclaimPolicy,
			AccessModes:                   o.PVC.Spec.AccessModes,
			VolumeMode:                    o.PVC.Spec.VolumeMode,
			MountOptions:                  o.StorageClass.MountOptions,
			Capacity:                      corev1.ResourceList{corev1.ResourceStorage: o.PVC.Spec.Resources.Requests[corev1.ResourceStorage]},
			PersistentVolumeSource:        corev1.PersistentVolumeSource{Local: &corev1.LocalVolumeSource{Path: dir}},
			NodeAffinity: &corev1.VolumeNodeAffinity{Required: &corev1.NodeSelector{
				NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{onNode}}},
			}},
		},
	}
}
