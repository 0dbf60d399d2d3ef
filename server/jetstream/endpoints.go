package jetstream

import "github.com/lockstepmq/lockstep/server/jetstream/api"

// handlers serve the requests, by endpoint. Pulls and direct gets go to the streams
// themselves. What only a cluster has is answered as a server on its own does.
var handlers = [...]func(*Manager, *request){
	api.EndpointAccountInfo: (*Manager).accountInfo,

	api.EndpointStreamCreate:       (*Manager).streamCreate,
	api.EndpointStreamUpdate:       (*Manager).streamUpdate,
	api.EndpointStreamNames:        (*Manager).streamNames,
	api.EndpointStreamList:         (*Manager).streamList,
	api.EndpointStreamInfo:         (*Manager).streamInfo,
	api.EndpointStreamDelete:       (*Manager).streamDelete,
	api.EndpointStreamPurge:        (*Manager).streamPurge,
	api.EndpointStreamSnapshot:     (*Manager).streamSnapshot,
	api.EndpointStreamRestore:      (*Manager).streamRestore,
	api.EndpointMsgGet:             (*Manager).msgGet,
	api.EndpointMsgDelete:          (*Manager).msgDelete,
	api.EndpointStreamPeerRemove:   (*Manager).streamPeerRemove,
	api.EndpointStreamPeerEvacuate: (*Manager).clusterOnly,
	api.EndpointStreamCancelMove:   (*Manager).clusterOnly,
	api.EndpointStreamStepdown:     (*Manager).streamStepdown,

	api.EndpointConsumerCreate:   (*Manager).consumerCreate,
	api.EndpointConsumerDurable:  (*Manager).consumerCreate,
	api.EndpointConsumerNames:    (*Manager).consumerNames,
	api.EndpointConsumerList:     (*Manager).consumerList,
	api.EndpointConsumerInfo:     (*Manager).consumerInfo,
	api.EndpointConsumerDelete:   (*Manager).consumerDelete,
	api.EndpointConsumerPause:    (*Manager).consumerPause,
	api.EndpointConsumerUnpin:    (*Manager).consumerUnpin,
	api.EndpointConsumerReset:    (*Manager).consumerReset,
	api.EndpointConsumerStepdown: (*Manager).streamStepdown,

	api.EndpointMetaStepdown: (*Manager).metaStepdown,

	api.EndpointServerRemove:            (*Manager).serverRemove,
	api.EndpointAccountPurge:            (*Manager).accountPurge,
	api.EndpointAccountStreamCancelMove: nil, // the last
}
